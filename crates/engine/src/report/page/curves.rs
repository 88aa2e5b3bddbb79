//! Curves over steps, over thresholds and over sizes of errors.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::chart::{Chart, Line, Scale, short};
use super::parts::{Shown, task_names};
use crate::report::stored::{StoredHistogram, StoredTask};

/// Scalars of a step that every run has, and what their axes are called.
const OF_RUNS: [(&str, &str, &str); 5] = [
    ("train/loss", "Loss, weighted sum", "loss"),
    ("train/lr", "Learning rate", "learning rate"),
    ("train/grad_norm", "Norm of the gradients before clipping", "norm"),
    ("train/step_ms", "Time of a step", "ms"),
    ("memory/resident_mib", "Memory of the process", "MiB"),
];

fn over_steps<'a>(title: &'a str, y: &'a str, lines: Vec<Line>) -> Chart<'a> {
    Chart { title, x: "step", y, x_scale: Scale::Linear, lines, filled: false }
}

/// One line for each run.
fn lines(runs: &[Shown], name: &str) -> Vec<Line> {
    let line = |shown: &Shown| Line {
        name: shown.run.name.clone(),
        points: shown.run.points(name).to_vec(),
    };
    runs.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// Losses, scores, rates and weights while the runs went on.
pub(super) fn curves(runs: &[Shown]) -> Markup {
    if runs.iter().all(|shown| shown.run.series.is_empty()) {
        return html! {};
    }
    let tasks = task_names(runs);
    html! {
        h3 { "Losses" }
        div.charts {
            @for task in &tasks {
                (over_steps(&format!("Loss of {task}"), "loss", lines(runs, &format!("loss/{task}"))).draw())
            }
        }
        (scores(runs, &tasks))
        h3 { "The run" }
        div.charts {
            @for (name, title, y) in OF_RUNS { (over_steps(title, y, lines(runs, name)).draw()) }
            @for shown in runs { (weights(shown, runs.len() > 1)) }
        }
    }
}

/// Headlines of evaluations, where there are several.
fn scores(runs: &[Shown], tasks: &[String]) -> Markup {
    let charts: Vec<(String, String, Vec<Line>)> = tasks
        .iter()
        .filter_map(|task| {
            let evaluations = runs.iter().filter_map(|shown| shown.run.evaluation.as_ref());
            let score = evaluations.filter_map(|evaluation| evaluation.headline(task)).next()?;
            let lines = lines(runs, &format!("evaluation/{task}/{}", score.name));
            let several = lines.iter().any(|line| line.points.len() > 1);
            let axis = format!("{} {}", score.name, score.unit);
            several.then(|| (format!("{task}: {}", score.name), axis, lines))
        })
        .collect();
    if charts.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Evaluations" }
        div.charts {
            @for (title, axis, lines) in charts { (over_steps(&title, &axis, lines).draw()) }
            (over_steps("delta-m", "%", lines(runs, "evaluation/delta_m")).draw())
        }
    }
}

/// What a balancer made of the tasks of one run.
fn weights(shown: &Shown, several: bool) -> Markup {
    // A measurement of conflict has weights of 1, which nobody has chosen.
    if shown.run.recipe.balancer.is_none() {
        return html! {};
    }
    let scope = "weight/";
    let series = shown.run.series.iter().filter(|(name, _)| name.starts_with(scope));
    let lines: Vec<Line> = series
        .map(|(name, points)| Line { name: name[scope.len()..].into(), points: points.clone() })
        .collect();
    let title = match several {
        true => format!("Weights of the balancer, {}", shown.run.name),
        false => "Weights of the balancer".into(),
    };
    over_steps(&title, "weight", lines).draw()
}

/// Precision over recall, of edges and saliency.
pub(super) fn precision_recall(runs: &[Shown]) -> Markup {
    let chart = |task: &String| {
        let lines: Vec<Line> = of_tasks(runs, task)
            .filter(|(_, stored)| !stored.precision_recall.is_empty())
            .map(|(name, stored)| {
                let points = stored.precision_recall.iter().map(|p| (p.recall, p.precision));
                let mut points: Vec<(f64, f64)> = points.collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Line { name, points }
            })
            .collect();
        (!lines.is_empty()).then(|| (task.clone(), lines))
    };
    let charts: Vec<_> = task_names(runs).iter().filter_map(chart).collect();
    if charts.is_empty() {
        return html! {};
    }
    html! {
        p { "Each point is a threshold on the predicted probability; counts are pooled over all images." }
        div.charts {
            @for (task, lines) in charts {
                (Chart {
                    title: &format!("{task}: precision over recall"), x: "recall", y: "precision",
                    x_scale: Scale::Linear, lines, filled: false,
                }.draw())
            }
        }
        @for task in task_names(runs) { @for (name, stored) in of_tasks(runs, &task) {
            (best_threshold(&name, stored))
        } }
    }
}

fn best_threshold(run: &str, stored: &StoredTask) -> Markup {
    let f = |p: f64, r: f64| if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 };
    let f_of = |point: &&crate::report::stored::StoredPoint| f(point.precision, point.recall);
    let best = stored.precision_recall.iter().max_by(|a, b| f_of(a).total_cmp(&f_of(b)));
    html! {
        @if let Some(point) = best {
            p { (run) ", " (stored.task) ": highest F at a threshold of " (short(point.threshold))
                ": precision " (short(point.precision)) ", recall " (short(point.recall)) "." }
        }
    }
}

/// How often each size of error occurs, of depth and normals.
pub(super) fn errors(runs: &[Shown]) -> Markup {
    let chart = |task: &String| {
        let found: Vec<(String, &StoredHistogram)> = of_tasks(runs, task)
            .filter_map(|(name, stored)| Some((name, stored.errors.as_ref()?)))
            .collect();
        let unit = found.first()?.1.unit.clone();
        let scale = if unit == "m" { Scale::Logarithmic } else { Scale::Linear };
        let range = filled(&found);
        let lines = found
            .iter()
            .map(|(name, errors)| Line { name: name.clone(), points: shares(errors, &range) });
        Some((task.clone(), unit, scale, lines.collect::<Vec<_>>()))
    };
    let charts: Vec<_> = task_names(runs).iter().filter_map(chart).collect();
    if charts.is_empty() {
        return html! {};
    }
    html! {
        div.charts {
            @for (task, unit, x_scale, lines) in charts {
                (Chart {
                    title: &format!("{task}: errors of pixels"), x: &format!("error [{unit}]"),
                    y: "% of pixels", x_scale, lines, filled: true,
                }.draw())
            }
        }
    }
}

/// Bins from the first to the last that any run fills.
fn filled(found: &[(String, &StoredHistogram)]) -> BTreeSet<usize> {
    let used = found.iter().flat_map(|(_, errors)| {
        errors.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, _)| bin)
    });
    let used: BTreeSet<usize> = used.collect();
    let ends = used.first().zip(used.last());
    ends.map_or_else(BTreeSet::new, |(first, last)| (*first..=*last).collect())
}

/// The middle of each bin and its share in percent.
fn shares(errors: &StoredHistogram, bins: &BTreeSet<usize>) -> Vec<(f64, f64)> {
    let all: u64 = errors.counts.iter().sum();
    let middle = |bin: usize| match errors.unit.as_str() {
        "m" => (errors.edges[bin] * errors.edges[bin + 1]).sqrt(),
        _ => f64::midpoint(errors.edges[bin], errors.edges[bin + 1]),
    };
    let there =
        bins.iter().filter(|bin| **bin < errors.counts.len() && **bin + 1 < errors.edges.len());
    there.map(|&bin| (middle(bin), 100.0 * errors.counts[bin] as f64 / all.max(1) as f64)).collect()
}

/// What each run stored of a task.
fn of_tasks<'a>(
    runs: &'a [Shown],
    task: &'a str,
) -> impl Iterator<Item = (String, &'a StoredTask)> {
    runs.iter().filter_map(move |shown| {
        Some((shown.run.name.clone(), shown.run.evaluation.as_ref()?.task(task)?))
    })
}
