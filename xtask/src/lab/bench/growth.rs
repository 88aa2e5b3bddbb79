//! `growth.svg`: step time and memory of our training steps by number of tasks.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::spread::Spread;
use crate::lab::plot::{Area, COLOURS, Painted, RADIUS, TEXT_SIZE, svg};

const SIZE: (u32, u32) = (980, 460);
const FONT: (&str, i32) = ("sans-serif", TEXT_SIZE);
/// Room for the names of the lines.
const LEGEND: u32 = 20;
/// Pixels of a dash, and between two.
const DASH: i32 = 6;
const GAP: i32 = 4;

/// One case at one number of tasks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// Everything but the tasks, in words.
    pub(super) line: String,
    pub(super) tasks: usize,
    pub(super) seconds: Spread,
    pub(super) peak_bytes: Option<u64>,
}

/// Points of one line, by tasks.
type Lines = BTreeMap<String, Vec<Point>>;

/// The plot; none where no case was measured with two numbers of tasks.
pub(super) fn draw(points: impl Iterator<Item = Point>) -> Result<Option<String>> {
    let lines = lines(points);
    if lines.is_empty() {
        return Ok(None);
    }
    let legend = LEGEND * lines.len() as u32 + 16;
    let drawn = svg((SIZE.0, SIZE.1 + legend), |root| {
        let (names, panels) = root.split_vertically(legend);
        write_names(&names, &lines)?;
        let panels = panels.split_evenly((1, 2));
        panel(&panels[0], &lines, "training step [s]", |p| Some(spread(p.seconds)))?;
        panel(&panels[1], &lines, "peak memory [GB]", |p| {
            p.peak_bytes.map(|bytes| [bytes as f64 / 1e9; 3])
        })
    });
    drawn.map(Some)
}

fn lines(points: impl Iterator<Item = Point>) -> Lines {
    let mut lines = Lines::new();
    for point in points {
        lines.entry(point.line.clone()).or_default().push(point);
    }
    for line in lines.values_mut() {
        line.sort_by_key(|point| point.tasks);
    }
    lines.retain(|_, line| line.len() > 1);
    lines
}

fn spread(seconds: Spread) -> [f64; 3] {
    [seconds.low, seconds.median, seconds.high]
}

fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Lines behind those that have a colour of their own.
fn is_dashed(index: usize) -> bool {
    index >= COLOURS.len()
}

fn write_names(area: &Area, lines: &Lines) -> Painted {
    for (index, name) in lines.keys().enumerate() {
        let y = 20 + (LEGEND as i32) * index as i32;
        let style = colour(index).stroke_width(2);
        let ends = vec![(80, y), (110, y)];
        match is_dashed(index) {
            true => area.draw(&DashedPathElement::new(ends, DASH, GAP, style))?,
            false => area.draw(&PathElement::new(ends, style))?,
        }
        let beside = TextStyle::from(FONT.into_font()).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.clone(), (120, y), beside))?;
    }
    Ok(())
}

/// Low, middle and high of every point by the logarithm of its tasks.
fn panel(
    area: &Area,
    lines: &Lines,
    title: &str,
    value: impl Fn(&Point) -> Option<[f64; 3]>,
) -> Painted {
    let all = || lines.values().flatten();
    let most = all().filter_map(&value).fold(0.0, |most: f64, [.., high]| most.max(high));
    let high = if most > 0.0 { 1.1 * most } else { 1.0 };
    let at = |point: &Point| (point.tasks as f64).log2();
    let right = all().map(at).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.25..right + 0.25, 0.0..high)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("tasks")
        .y_desc(title)
        .axis_desc_style(FONT)
        .label_style(FONT)
        .x_labels(0)
        .y_label_formatter(&|value| format!("{value:.1}"))
        .draw()?;
    let mut ticks: Vec<usize> = all().map(|point| point.tasks).collect();
    ticks.sort_unstable();
    ticks.dedup();
    let (left, top) = area.get_base_pixel();
    for tasks in ticks {
        let (x, y) = chart.backend_coord(&((tasks as f64).log2(), 0.0));
        let below = TextStyle::from(FONT.into_font()).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(tasks.to_string(), (x - left, y - top + 8), below))?;
    }
    for (index, line) in lines.values().enumerate() {
        let colour = colour(index);
        let known = line.iter().filter_map(|point| Some((at(point), value(point)?)));
        let known: Vec<(f64, [f64; 3])> = known.collect();
        let path = known.iter().map(|&(x, [_, middle, _])| (x, middle)).collect::<Vec<_>>();
        let (ends, style) = (path.clone(), colour.stroke_width(2));
        match is_dashed(index) {
            true => {
                chart.draw_series([DashedPathElement::new(ends, DASH, GAP, style)]).map(|_| ())?
            }
            false => chart.draw_series([PathElement::new(ends, style)]).map(|_| ())?,
        }
        let bar = |&(x, [low, middle, high]): &(f64, [f64; 3])| {
            ErrorBar::new_vertical(x, low, middle, high, colour.stroke_width(1), 6)
        };
        chart.draw_series(known.iter().filter(|(_, [low, _, high])| high > low).map(bar))?;
        chart.draw_series(path.into_iter().map(|at| Circle::new(at, RADIUS, colour.filled())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(line: &str, tasks: usize) -> Point {
        let seconds = Spread { low: 0.9, median: 1.0, high: 1.2 };
        Point { line: line.into(), tasks, seconds, peak_bytes: Some(2_000_000_000) }
    }

    #[test]
    fn lines_need_two_numbers_of_tasks() {
        let points = [point("mtlora", 8), point("mtlora", 1), point("emtal", 4)];
        let lines = lines(points.clone().into_iter());
        let tasks: Vec<usize> = lines["mtlora"].iter().map(|point| point.tasks).collect();
        assert_eq!((lines.len(), tasks), (1, vec![1, 8]));
        let text = draw(points[..2].iter().cloned()).unwrap().unwrap();
        // Points of both panels, and the middles of the error bars.
        assert_eq!(text.matches("<circle").count(), 6);
        assert!(text.contains("peak memory [GB]"), "{text}");
        assert_eq!(draw(points[2..].iter().cloned()).unwrap(), None);
    }

    #[test]
    fn no_two_lines_look_alike() {
        let names: Vec<String> = (0..8).map(|index| format!("line {index}")).collect();
        let points = || names.iter().flat_map(|name| [point(name, 1), point(name, 4)]);
        let looks = |count: usize| draw(points().take(2 * count)).unwrap().unwrap();
        let paths = |text: &str| text.matches("<polyline").count();
        // The seventh and the eighth are dashed: each dash is a path.
        assert!(paths(&looks(8)) - paths(&looks(6)) > 2 * (paths(&looks(6)) - paths(&looks(4))));
    }
}
