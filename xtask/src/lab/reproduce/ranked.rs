//! Methods as bars, best first, with their spread over seeds, as SVG.

use anyhow::{Context, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;

use crate::lab::plot::{Area, COLOURS, Painted, TEXT_SIZE, svg};

/// Height of a bar and its room, and of what is around all bars, in pixels.
const ROW: u32 = 26;
const AROUND: u32 = 96;
const WIDTH: u32 = 860;

/// A method.
struct Bar {
    name: String,
    mean: f64,
    sd: f64,
}

/// The plot of `data`, as `reproduce` writes it; none where no number compares the methods.
///
/// # Errors
/// Data without rows.
pub(crate) fn draw(data: &Value) -> Result<Option<String>> {
    let rows = data["rows"].as_array().context("expected rows, found none")?;
    let (key, title) = match rows.iter().any(|row| row["delta_m"].is_object()) {
        true => ("delta_m", "delta-m [%]"),
        false => ("mean", "mean headline"),
    };
    let mut bars: Vec<Bar> = rows.iter().filter_map(|row| bar(row, key)).collect();
    if bars.len() < 2 {
        return Ok(None);
    }
    let sign = if lower_is_better(rows, key) { 1.0 } else { -1.0 };
    bars.sort_by(|a, b| (sign * a.mean).total_cmp(&(sign * b.mean)));
    let size = (WIDTH, AROUND + ROW * bars.len() as u32);
    svg(size, |root| paint(root, title, &bars)).map(Some)
}

fn bar(row: &Value, key: &str) -> Option<Bar> {
    let sd = row[key]["sd"].as_f64().unwrap_or_default();
    Some(Bar { name: row["name"].as_str()?.into(), mean: row[key]["mean"].as_f64()?, sd })
}

/// Of mean headlines; delta-m is better where it is higher.
fn lower_is_better(rows: &[Value], key: &str) -> bool {
    let scores = rows.iter().filter_map(|row| row["scores"].as_array()).flatten();
    let headline = scores.into_iter().find(|score| score["headline"] == true);
    key == "mean" && headline.is_some_and(|score| score["higher_is_better"] == false)
}

fn paint(root: &Area, title: &str, bars: &[Bar]) -> Painted {
    let names = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let ends = bars.iter().flat_map(|bar| [bar.mean - bar.sd, bar.mean + bar.sd, 0.0]);
    let [low, high] =
        ends.fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)]);
    let room = 0.12 * (high - low).max(1e-9);
    let (left, right) = (if low < 0.0 { low - room } else { low }, high + room);
    let mut chart = ChartBuilder::on(root)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size((names * TEXT_SIZE as usize * 56 / 100 + 16) as u32)
        .build_cartesian_2d(left..right, 0.0..bars.len() as f64)?;
    let text = ("sans-serif", TEXT_SIZE);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(BLACK.mix(0.04))
        .bold_line_style(BLACK.mix(0.12))
        .y_labels(0)
        .x_desc(title)
        .axis_desc_style(text)
        .label_style(text)
        .x_label_formatter(&|value| format!("{value:.1}"))
        .draw()?;
    let middle = |place: usize| bars.len() as f64 - place as f64 - 0.5;
    chart.draw_series(bars.iter().enumerate().map(|(place, bar)| {
        let ends =
            [(0.0f64.clamp(left, right), middle(place) - 0.34), (bar.mean, middle(place) + 0.34)];
        Rectangle::new(ends, COLOURS[usize::from(bar.mean < 0.0)].mix(0.75).filled())
    }))?;
    let line = BLACK.mix(0.7).stroke_width(1);
    let spread = bars.iter().enumerate().filter(|(_, bar)| bar.sd > 0.0);
    chart.draw_series(spread.map(|(place, bar)| {
        let [low, high] = [bar.mean - bar.sd, bar.mean + bar.sd];
        ErrorBar::new_horizontal(middle(place), low, bar.mean, high, line, 8)
    }))?;
    let beside = TextStyle::from(text.into_font()).pos(Pos::new(HPos::Right, VPos::Center));
    let value = TextStyle::from(text.into_font()).pos(Pos::new(HPos::Left, VPos::Center));
    for (place, bar) in bars.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(left, middle(place)));
        let (edge, _) = chart.backend_coord(&(left, 0.0));
        root.draw(&Text::new(bar.name.clone(), (edge - 8, y), beside.clone()))?;
        let (end, _) = chart.backend_coord(&((bar.mean + bar.sd).max(0.0), 0.0));
        root.draw(&Text::new(format!("{:+.2}", bar.mean), (end + 8, y), value.clone()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_stands_first() {
        let row =
            |name: &str, mean: f64| json!({"name": name, "delta_m": {"mean": mean, "sd": 0.5}});
        let data = json!({"rows": [row("worse", -2.0), row("better", 1.0), row("<middle>", 0.5)]});
        let svg = draw(&data).unwrap().unwrap();
        let at = |name: &str| svg.find(name).unwrap();
        assert!(at("better") < at("&lt;middle&gt;") && at("&lt;middle&gt;") < at("worse"), "{svg}");
        assert!(svg.contains("-2.00") && svg.contains("delta-m [%]"));
    }

    #[test]
    fn errors_are_best_where_they_are_low() {
        let score = json!({"headline": true, "higher_is_better": false});
        let row = |name: &str, mean: f64| json!({"name": name, "mean": {"mean": mean, "sd": null}, "scores": [score]});
        let svg = draw(&json!({"rows": [row("high", 9.0), row("low", 4.0)]})).unwrap().unwrap();
        assert!(svg.find(">\nlow\n").unwrap() < svg.find(">\nhigh\n").unwrap(), "{svg}");
        assert_eq!(draw(&json!({"rows": [row("alone", 1.0)]})).unwrap(), None);
        assert!(draw(&json!({})).is_err());
    }
}
