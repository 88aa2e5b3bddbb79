//! Losses over steps with bands over seeds, one panel for each task, as SVG.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use serde_json::Value;

use super::plan::Plan;
use super::summary::{self, Summary};
use crate::lab::plot::{Area, COLOURS, Painted, TEXT_SIZE, svg};

/// Width and height of a panel.
const PANEL: (u32, u32) = (420, 280);
/// Height of the legend.
const LEGEND: u32 = 36;
/// Panels beside each other.
const COLUMNS: usize = 2;
/// Points of a curve: means over the steps between them.
const BINS: usize = 40;

/// Mean and standard deviation over seeds at a step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    step: f64,
    mean: f64,
    sd: f64,
}

/// A method's curve of one task.
struct Curve<'a> {
    name: &'a str,
    points: Vec<Point>,
}

/// The plot of the first and the best of `rows`; none where no run has a loss.
pub(crate) fn draw(plan: &Plan, rows: &[Summary], seeds: u64) -> Result<Option<String>> {
    let chosen = chosen(rows);
    let panels: Vec<(&str, Vec<Curve>)> = summary::tasks(rows)
        .into_iter()
        .map(|task| (task, chosen.iter().filter_map(|row| curve(plan, row, task, seeds)).collect()))
        .filter(|(_, curves): &(&str, Vec<Curve>)| !curves.is_empty())
        .collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let size = (
        PANEL.0 * panels.len().min(COLUMNS) as u32,
        PANEL.1 * panels.len().div_ceil(COLUMNS) as u32 + LEGEND,
    );
    svg(size, |root| paint(root, &panels, &chosen)).map(Some)
}

/// As many rows as there are colours, of those with runs: the first, then the best.
fn chosen(rows: &[Summary]) -> Vec<&Summary> {
    let mut others: Vec<&Summary> = rows.iter().filter(|row| !row.runs.is_empty()).collect();
    if others.is_empty() {
        return others;
    }
    let own = others.remove(0);
    others.retain(|row| !row.row.separate);
    let value = |row: &Summary| row.delta_m.or(row.mean).map_or(f64::NEG_INFINITY, |s| s.mean);
    others.sort_by(|a, b| value(b).total_cmp(&value(a)));
    std::iter::once(own).chain(others).take(COLOURS.len()).collect()
}

fn curve<'a>(plan: &Plan, row: &'a Summary, task: &str, seeds: u64) -> Option<Curve<'a>> {
    let index = plan.rows.iter().position(|other| other.slug == row.row.slug)?;
    let runs = (0..seeds).flat_map(|seed| plan.runs(index, seed));
    let logs: Vec<Vec<(f64, f64)>> =
        runs.map(|run| losses(&run.folder, task)).filter(|log| !log.is_empty()).collect();
    let points = bands(&logs);
    (!points.is_empty()).then_some(Curve { name: &row.row.name, points })
}

/// Steps and losses of a task; none of a run without a log.
fn losses(folder: &Path, task: &str) -> Vec<(f64, f64)> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let point = |line: Value| Some((line["step"].as_f64()?, line["losses"][task].as_f64()?));
    lines.filter_map(point).collect()
}

/// Means over bins of steps, then over seeds.
fn bands(logs: &[Vec<(f64, f64)>]) -> Vec<Point> {
    let last = logs.iter().flatten().map(|point| point.0).fold(0.0, f64::max);
    let width = (last / BINS as f64).max(1.0);
    let mut bins: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for log in logs {
        let mut own: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
        for (step, loss) in log {
            let (sum, count) = own.entry(((step - 1.0) / width) as usize).or_default();
            (*sum, *count) = (*sum + loss, *count + 1.0);
        }
        own.into_iter().for_each(|(bin, (sum, n))| bins.entry(bin).or_default().push(sum / n));
    }
    let point = |(bin, values): (usize, Vec<f64>)| {
        let spread = super::spread::Spread::of(&values)?;
        let step = (bin as f64 + 0.5) * width;
        Some(Point { step, mean: spread.mean, sd: spread.sd.unwrap_or_default() })
    };
    bins.into_iter().filter_map(point).collect()
}

fn paint(root: &Area, panels: &[(&str, Vec<Curve>)], chosen: &[&Summary]) -> Painted {
    let (above, below) = root.split_vertically(LEGEND);
    legend(&above, chosen)?;
    let columns = panels.len().min(COLUMNS);
    let cells = below.split_evenly((panels.len().div_ceil(columns), columns));
    for ((task, curves), cell) in panels.iter().zip(&cells) {
        panel(cell, task, curves, chosen)?;
    }
    Ok(())
}

fn legend(area: &Area, chosen: &[&Summary]) -> Painted {
    let mut left = 16;
    for (place, row) in chosen.iter().enumerate() {
        let colour = COLOURS[place];
        area.draw(&Rectangle::new([(left, 14), (left + 18, 18)], colour.filled()))?;
        area.draw(&Text::new(row.row.name.clone(), (left + 24, 9), ("sans-serif", TEXT_SIZE)))?;
        left += 44 + row.row.name.chars().count() as i32 * TEXT_SIZE * 56 / 100;
    }
    Ok(())
}

fn panel(area: &Area, task: &str, curves: &[Curve], chosen: &[&Summary]) -> Painted {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let last = points().map(|point| point.step).fold(1.0, f64::max);
    let ends = points().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], point| {
        [low.min(point.mean - point.sd), high.max(point.mean + point.sd)]
    });
    let room = 0.05 * (ends[1] - ends[0]).max(1e-9);
    let text = ("sans-serif", TEXT_SIZE);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, ends[0] - room..ends[1] + room)?;
    chart
        .configure_mesh()
        .light_line_style(BLACK.mix(0.03))
        .bold_line_style(BLACK.mix(0.1))
        .x_labels(5)
        .y_labels(5)
        .x_desc("step")
        .y_desc(format!("{task}: loss"))
        .axis_desc_style(text)
        .label_style(text)
        .draw()?;
    for curve in curves {
        let place = chosen.iter().position(|row| row.row.name == curve.name).unwrap_or(0);
        let colour = COLOURS[place];
        let upper = curve.points.iter().map(|point| (point.step, point.mean + point.sd));
        let lower = curve.points.iter().rev().map(|point| (point.step, point.mean - point.sd));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(band, colour.mix(0.16).filled())])?;
        let line: Vec<(f64, f64)> =
            curve.points.iter().map(|point| (point.step, point.mean)).collect();
        chart.draw_series([PathElement::new(line, colour.stroke_width(2))])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_over_seeds_and_not_over_steps() {
        let log = |loss: f64| (1..=400).map(|step| (f64::from(step), loss)).collect::<Vec<_>>();
        let points = bands(&[log(1.0), log(3.0)]);
        assert_eq!(points.len(), BINS);
        assert_eq!((points[0].step, points[0].mean), (5.0, 2.0));
        assert!((points[7].sd - 2f64.sqrt()).abs() < 1e-12);
        assert!(bands(&[log(1.0)]).iter().all(|point| point.sd == 0.0));
        assert!(bands(&[]).is_empty());
    }
}
