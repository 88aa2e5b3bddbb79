//! What plots have in common: an SVG, round ticks, places for names.

pub(crate) mod labels;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Height of text in pixels.
pub(crate) const TEXT_SIZE: i32 = 14;
/// Of points, in pixels.
pub(crate) const RADIUS: i32 = 4;

/// Of lines, one each.
pub(crate) const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 92, 153),
    RGBColor(200, 80, 40),
    RGBColor(40, 130, 80),
    RGBColor(130, 70, 150),
    RGBColor(170, 130, 20),
    RGBColor(90, 90, 90),
];

/// Where plots are drawn.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What drawing gives.
pub(crate) type Painted = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// What `paint` draws on a white ground of `size`.
///
/// # Errors
/// Whatever the backend says.
pub(crate) fn svg(size: (u32, u32), paint: impl FnOnce(&Area) -> Painted) -> Result<String> {
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).and_then(|()| paint(&root)).and_then(|()| root.present())
    };
    drawn.map_err(|error| anyhow!("the plot: {error}"))?;
    // The backend leaves white space at the end of lines, and none at the end of the file.
    let lines: Vec<&str> = svg.lines().map(str::trim_end).collect();
    Ok(lines.join("\n") + "\n")
}

/// 1, 2 and 5 of every decade between `left` and `right`; the backend's own ticks crowd.
pub(crate) fn ticks(left: f64, right: f64) -> Vec<f64> {
    let decades = (left.log10().floor() as i32)..=(right.log10().ceil() as i32);
    // Read from text, so that 0.2 is written as such.
    let tick = |decade| move |digit| format!("{digit}e{decade}").parse::<f64>().ok();
    let all = decades.flat_map(|decade| [1, 2, 5].into_iter().filter_map(tick(decade)));
    all.filter(|tick| (left..right).contains(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks(0.15, 3.0), [0.2, 0.5, 1.0, 2.0]);
        assert_eq!(ticks(0.15, 3.0)[0].to_string(), "0.2");
    }

    #[test]
    fn lines_of_a_plot_end_in_nothing_else() {
        let text =
            svg((20, 10), |area| area.draw(&Circle::new((5, 5), 2, BLACK))).unwrap_or_default();
        assert!(text.ends_with("</svg>\n") && !text.contains(" \n"), "{text}");
    }
}
