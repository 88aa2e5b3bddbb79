//! Results against trainable parameters, as SVG.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::fence::fence;
use super::plan::Plan;
use super::spread::Spread;
use super::summary::{ScoreSpread, Summary};
use crate::lab::plot::labels::Scene;
use crate::lab::plot::{Area, Painted, RADIUS, TEXT_SIZE, svg, ticks};

const WIDTH: u32 = 860;
const HEIGHT: u32 = 540;
/// Points that have room in it for their names; every other one adds some.
const POINTS: u32 = 20;
/// Height for the name of another point.
const NAME: u32 = 10;

/// A method as a point.
struct Point<'a> {
    name: &'a str,
    millions: f64,
    result: Spread,
}

impl Point<'_> {
    /// One standard deviation to both sides.
    fn range(&self) -> [f64; 2] {
        let sd = self.result.sd.unwrap_or_default();
        [self.result.mean - sd, self.result.mean + sd]
    }

    fn is_within(&self, [low, high]: [f64; 2]) -> bool {
        (low..=high).contains(&self.result.mean)
    }
}

/// The plot; none where no number compares the methods.
pub(crate) fn draw(plan: &Plan, rows: &[Summary]) -> Result<Option<String>> {
    let (title, points) = points(plan, rows);
    if points.is_empty() {
        return Ok(None);
    }
    let more = (points.len() as u32).saturating_sub(POINTS);
    svg((WIDTH, HEIGHT + NAME * more), |root| paint(root, &title, &points)).map(Some)
}

/// The mean headline, unless tasks differ in kind or the recipe asks for delta-m by baselines.
fn points<'a>(plan: &Plan, rows: &'a [Summary]) -> (String, Vec<Point<'a>>) {
    let mean = |row: &'a Summary| row.mean;
    let delta_m = |row: &'a Summary| row.delta_m;
    let relative = rows.iter().any(|row| row.delta_m.is_some())
        && (plan.baselines || rows.iter().any(|row| row.mean.is_none()));
    let value: &dyn Fn(&'a Summary) -> Option<Spread> = if relative { &delta_m } else { &mean };
    let point = |row: &'a Summary| {
        let millions = row.trainable.max(1) as f64 / 1e6;
        Some(Point { name: &row.row.name, millions, result: value(row)? })
    };
    let title = if relative {
        "delta-m [%]".into()
    } else {
        mean_title(rows.first().map_or(&[], |row| &row.scores))
    };
    (title, rows.iter().filter_map(point).collect())
}

/// With the name of the headline where all tasks have the same; the unit of a mean is that of all.
fn mean_title(scores: &[ScoreSpread]) -> String {
    let headlines: Vec<&ScoreSpread> = scores.iter().filter(|score| score.headline).collect();
    let first = headlines.first();
    let same = first.filter(|first| headlines.iter().all(|score| score.name == first.name));
    let name = same.map_or("headline", |score| score.name.as_str());
    let unit = first.map(|score| score.unit.as_str()).filter(|unit| !unit.is_empty());
    format!("mean {name}{}", unit.map(|unit| format!(" [{unit}]")).unwrap_or_default())
}

fn paint(root: &Area, title: &str, points: &[Point]) -> Painted {
    let [left, right] = spread_log(points.iter().map(|point| point.millions));
    let fence = fence(points.iter().map(|point| point.result.mean).collect());
    let (near, far): (Vec<&Point>, Vec<&Point>) =
        points.iter().partition(|point| point.is_within(fence));
    let [low, high] = padded(near.iter().flat_map(|point| point.range()));
    let mut chart = ChartBuilder::on(root)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((left..right).log_scale(), low..high)?;
    let text = ("sans-serif", TEXT_SIZE);
    chart
        .configure_mesh()
        .light_line_style(BLACK.mix(0.04))
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("trainable parameters [M]")
        .y_desc(title)
        .axis_desc_style(text)
        .label_style(text)
        .disable_x_mesh()
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|value| format!("{value:.1}"))
        .draw()?;
    for tick in ticks(left, right) {
        let grid = vec![(tick, low), (tick, high)];
        chart.draw_series([PathElement::new(grid, BLACK.mix(0.12))])?;
        let (x, y) = chart.backend_coord(&(tick, low));
        let centred = TextStyle::from(text.into_font()).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(tick.to_string(), (x, y + 8), centred))?;
    }
    let (xs, ys) = chart.plotting_area().get_pixel_range();
    let frame = [xs.start, ys.start, xs.end, ys.end];
    let pixel = |point: &Point, value: f64| chart.backend_coord(&(point.millions, value));
    let inside = near.into_iter().map(|point| Mark::inside(point, pixel));
    let at_edge =
        far.into_iter().map(|point| Mark::at_edge(point, pixel(point, low).0, low, frame));
    let marks: Vec<Mark> = inside.chain(at_edge).collect();
    marks.iter().try_for_each(|mark| mark.draw(root))?;
    names(root, &marks, frame)
}

/// A point in pixels.
struct Mark {
    name: String,
    at: (i32, i32),
    /// Top and bottom of its error bar.
    bar: [i32; 2],
    /// Where a value outside of the axis is: -1 above, 1 below.
    outside: Option<i32>,
}

impl Mark {
    fn inside(point: &Point, pixel: impl Fn(&Point, f64) -> (i32, i32)) -> Self {
        let [bottom, top] = point.range().map(|end| pixel(point, end).1);
        let at = pixel(point, point.result.mean);
        Self { name: point.name.to_owned(), at, bar: [top, bottom], outside: None }
    }

    /// At the end of the axis, with its value behind its name.
    fn at_edge(point: &Point, x: i32, low: f64, frame: [i32; 4]) -> Self {
        let value = point.result.mean;
        let (y, outside) =
            if value < low { (frame[3] - 2 * RADIUS, 1) } else { (frame[1] + 2 * RADIUS, -1) };
        let name = format!("{} ({value:.1})", point.name);
        Self { name, at: (x, y), bar: [y - RADIUS, y + RADIUS], outside: Some(outside) }
    }

    /// A dot with its error bar, or an arrow head out of the frame.
    fn draw(&self, root: &Area) -> Painted {
        let (x, y) = self.at;
        let dot = RGBColor(31, 92, 153).filled();
        if let Some(outside) = self.outside {
            let base = y - outside * RADIUS;
            let corners = vec![(x - RADIUS, base), (x + RADIUS, base), (x, y + outside * RADIUS)];
            return root.draw(&Polygon::new(corners, dot));
        }
        let [top, bottom] = self.bar;
        if top < bottom {
            let line = BLACK.mix(0.7);
            root.draw(&PathElement::new(vec![(x, top), (x, bottom)], line))?;
            for y in self.bar {
                root.draw(&PathElement::new(vec![(x - RADIUS, y), (x + RADIUS, y)], line))?;
            }
        }
        root.draw(&Circle::new(self.at, RADIUS, dot))
    }
}

fn names(root: &Area, marks: &[Mark], frame: [i32; 4]) -> Painted {
    let mut scene = Scene::new(frame, marks.iter().map(|mark| (mark.at.0, mark.bar)));
    for mark in marks {
        let place = scene.place(&mark.name, mark.at);
        if let Some(end) = place.leader {
            root.draw(&PathElement::new(vec![mark.at, end], BLACK.mix(0.35)))?;
        }
        root.draw(&Text::new(mark.name.as_str(), place.at, ("sans-serif", TEXT_SIZE)))?;
    }
    Ok(())
}

/// Ends of a logarithmic axis with room for labels, over a decade at least, so that it has ticks.
fn spread_log(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = ends(values);
    let room = (10.0 / (high / low)).max(1.0).sqrt();
    [low / room / 1.6, high * room * 2.2]
}

/// Ends of a linear axis with room around the values.
fn padded(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = ends(values);
    let room = if high > low { 0.15 * (high - low) } else { 1.0 };
    [low - room, high + room]
}

fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn score(name: &str, headline: bool) -> ScoreSpread {
        let score = json!({
            "task": "t", "headline": headline, "name": name, "unit": "%",
            "higher_is_better": true, "mean": 1.0, "sd": null, "n": 1, "values": [1.0],
        });
        from_value(score).unwrap()
    }

    #[test]
    fn a_mean_has_the_name_that_all_tasks_share() {
        let (r1, other, top1) =
            (score("i2t_r1", true), score("i2t_r5", false), score("top1", true));
        assert_eq!(mean_title(&[r1.clone(), other.clone()]), "mean i2t_r1 [%]");
        assert_eq!(mean_title(&[r1, other, top1]), "mean headline [%]");
        assert_eq!(mean_title(&[]), "mean headline");
    }

    #[test]
    fn an_axis_spans_a_decade_at_least() {
        let [left, right] = spread_log([0.3, 0.4].into_iter());
        assert!(right / left >= 10.0 && left < 0.3 && right > 0.4);
        let [low, high] = padded([5.0].into_iter());
        assert!(low < 5.0 && high > 5.0);
    }
}
