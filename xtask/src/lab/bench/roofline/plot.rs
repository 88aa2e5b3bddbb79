//! Rates against operations for each byte, below the roof; one panel for each setting.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::setting::in_threads;
use super::run::{Piece, Role, Run};
use crate::lab::plot::labels::Scene;
use crate::lab::plot::{Area, Painted, RADIUS, TEXT_SIZE, svg, ticks};

const WIDTH: u32 = 900;
/// Of a panel.
const HEIGHT: u32 = 520;
const FONT: (&str, i32) = ("sans-serif", TEXT_SIZE);

/// A group with arithmetic; one without has no place here.
struct Point<'a> {
    name: &'a str,
    /// Operations for each byte.
    x: f64,
    /// Operations a second, in 10^9: median and quartiles.
    y: [f64; 3],
}

/// All panels, one below the other.
pub(super) fn draw(runs: &[&Run]) -> Result<String> {
    let count = runs.len() as u32;
    svg((WIDTH, HEIGHT * count), |root| {
        let panels = root.split_evenly((runs.len(), 1));
        panels.iter().zip(runs).try_for_each(|(area, run)| panel(area, run))
    })
}

fn points(run: &Run) -> Vec<Point<'_>> {
    let point = |piece: &'_ Piece| {
        let seconds = piece.seconds();
        let rate = |seconds: f64| piece.flops / seconds / 1e9;
        [rate(seconds.median), rate(seconds.high), rate(seconds.low)]
    };
    let groups = run.of(Role::Group).filter(|piece| piece.flops > 0.0);
    groups.map(|piece| Point { name: &piece.name, x: piece.intensity(), y: point(piece) }).collect()
}

fn panel(area: &Area, run: &Run) -> Painted {
    let points = points(run);
    let (ceiling, bandwidth) = (run.ceiling() / 1e9, run.bandwidth() / 1e9);
    let xs = ends(points.iter().map(|p| p.x).chain([ceiling / bandwidth]));
    let [left, right] = [xs[0] / 2.5, xs[1] * 4.0];
    let ys = ends(points.iter().map(|p| p.y[0]).chain([ceiling]));
    let [low, high] = [ys[0] / 2.5, ys[1] * 2.0];
    let title = format!(
        "{}, {}: products {ceiling:.0} GFLOP/s, bandwidth {bandwidth:.1} GB/s",
        run.precision,
        in_threads(run.threads)
    );
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .caption(title, FONT)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
    let none = |_: &f64| String::new();
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("floating-point operations for each byte")
        .y_desc("GFLOP/s")
        .axis_desc_style(FONT)
        .label_style(FONT)
        .x_label_formatter(&none)
        .y_label_formatter(&none)
        .draw()?;
    let grid = BLACK.mix(0.12);
    let beside = |h, v| TextStyle::from(FONT.into_font()).pos(Pos::new(h, v));
    for tick in ticks(left, right) {
        chart.draw_series([PathElement::new(vec![(tick, low), (tick, high)], grid)])?;
        let (x, y) = chart.backend_coord(&(tick, low));
        draw_text(area, &tick.to_string(), (x, y + 8), beside(HPos::Center, VPos::Top))?;
    }
    for tick in ticks(low, high) {
        chart.draw_series([PathElement::new(vec![(left, tick), (right, tick)], grid)])?;
        let (x, y) = chart.backend_coord(&(left, tick));
        draw_text(area, &tick.to_string(), (x - 8, y), beside(HPos::Right, VPos::Center))?;
    }
    let knee = ceiling / bandwidth;
    let start = left.max(low / bandwidth);
    let roof = vec![(start, start * bandwidth), (knee, ceiling), (right, ceiling)];
    chart.draw_series([PathElement::new(roof.clone(), BLACK.mix(0.7).stroke_width(2))])?;
    let line = BLACK.mix(0.5).stroke_width(1);
    let bar = |p: &Point| ErrorBar::new_vertical(p.x, p.y[1], p.y[0], p.y[2], line, 6);
    chart.draw_series(points.iter().map(bar))?;
    let dot = RGBColor(31, 92, 153).filled();
    chart.draw_series(points.iter().map(|p| Circle::new((p.x, p.y[0]), RADIUS, dot)))?;
    let (xs, ys) = chart.plotting_area().get_pixel_range();
    let pixel = |&(x, y): &(f64, f64)| chart.backend_coord(&(x, y));
    // Names keep off the roof and the bars.
    let ends: Vec<(i32, i32)> = roof.iter().map(pixel).collect();
    let roof = ends.windows(2).flat_map(|pair| between(pair[0], pair[1]));
    let bars = points.iter().map(|p| {
        let [top, bottom] = [p.y[2], p.y[1]].map(|y| pixel(&(p.x, y)));
        (top.0, [top.1, bottom.1])
    });
    let taken = roof.map(|(x, y)| (x, [y, y])).chain(bars);
    let mut scene = Scene::new([xs.start, ys.start, xs.end, ys.end], taken);
    points.iter().try_for_each(|p| name(area, p.name, pixel(&(p.x, p.y[0])), &mut scene))
}

/// Every few pixels of a line.
fn between(from: (i32, i32), to: (i32, i32)) -> impl Iterator<Item = (i32, i32)> {
    const STEPS: i32 = 100;
    (0..=STEPS).map(move |step| {
        let along = |a: i32, b: i32| a + (b - a) * step / STEPS;
        (along(from.0, to.0), along(from.1, to.1))
    })
}

fn name(area: &Area, name: &str, pixel: (i32, i32), scene: &mut Scene) -> Painted {
    let place = scene.place(name, pixel);
    if let Some(end) = place.leader {
        line(area, [pixel, end])?;
    }
    draw_text(area, name, place.at, TextStyle::from(FONT.into_font()))
}

/// Pixels are those of the whole plot, an area's are its own.
fn inside(area: &Area, (x, y): (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (x - left, y - top)
}

fn draw_text(area: &Area, text: &str, at: (i32, i32), style: TextStyle) -> Painted {
    area.draw(&Text::new(text.to_owned(), inside(area, at), style))
}

fn line(area: &Area, ends: [(i32, i32); 2]) -> Painted {
    let ends = ends.map(|end| inside(area, end)).to_vec();
    area.draw(&PathElement::new(ends, BLACK.mix(0.35)))
}

fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::run;
    use super::*;

    #[test]
    fn groups_without_arithmetic_have_no_point() {
        let run = run();
        let names: Vec<&str> = points(&run).iter().map(|point| point.name).collect();
        assert_eq!(names, ["products", "clipping and AdamW"]);
        let text = draw(&[&run, &run]).unwrap();
        assert_eq!(text.matches("products 100 GFLOP/s").count(), 2);
        assert_eq!(text.matches("clipping and AdamW").count(), 2);
        assert!(!text.contains("copies"), "{text}");
    }
}
