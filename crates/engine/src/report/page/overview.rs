//! What was trained on what, and how good it became.

use maud::{Markup, html};

use super::parts::{Shown, grouped, scrolling, task_names};
use crate::SourceRecipe;
use crate::report::stored::{StoredEvaluation, StoredScore};

/// One card for each run.
pub(super) fn cards(runs: &[Shown]) -> Markup {
    html! { div.cards { @for shown in runs { (card(shown)) } } }
}

fn card(shown: &Shown) -> Markup {
    let (run, recipe) = (&shown.run, &shown.run.recipe);
    let sources = |all: &[SourceRecipe]| all.iter().map(source).collect::<Vec<_>>().join("; ");
    let [height, width] = recipe.data.img_size;
    let steps = run.points("train/lr").last().map_or(0.0, |point| point.0);
    html! {
        article.card {
            h3 { (run.name) }
            dl {
                dt { "Method" } dd { (recipe.label()) }
                dt { "Backbone" } dd { (recipe.backbone.name) }
                dt { "Weights" } dd { (recipe.backbone.weights) }
                dt { "Tasks" } dd { (recipe.task_names().join(", ")) }
                dt { "Learns from" } dd { (sources(&recipe.data.train)) }
                dt { "Measured on" } dd { (sources(&recipe.data.eval)) }
                dt { "Images" } dd { (width) " x " (height) ", " (recipe.data.batch_size) " in a step" }
                dt { "Steps" } dd { (grouped(steps as i64)) " of " (grouped(recipe.train.steps as i64)) }
                dt { "Seed, precision" } dd { (recipe.seed) ", " (recipe.precision) }
                @if let Some(parameters) = &shown.parameters {
                    dt { "Parameters" }
                    dd { (grouped(parameters.total().trainable)) " of " (grouped(parameters.total().total)) " train" }
                }
                @if let Some(delta) = run.evaluation.as_ref().and_then(|e| e.delta_m.as_ref()) {
                    dt { "delta-m" } dd { (signed(delta.percent)) " %" }
                }
            }
        }
    }
}

/// The fields of a data set that tell it from others: `scenes, split train, len 3000`.
fn source(source: &SourceRecipe) -> String {
    let value = serde_json::to_value(source).unwrap_or_default();
    let text = |key: &str| match &value[key] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    };
    let named = |key: &str| Some(format!("{key} {}", text(key)?));
    let first = ["dataset", "manifest", "domain"].into_iter().filter_map(text);
    first
        .chain(["split", "len", "limit", "seed"].into_iter().filter_map(named))
        .collect::<Vec<_>>()
        .join(", ")
}

fn signed(value: f64) -> String {
    format!("{value:+.2}")
}

/// A column of the table of results.
struct Column<'a> {
    title: String,
    values: Vec<Option<f64>>,
    delta_m: Option<f64>,
    /// A run of this page, among which the best is marked.
    run: Option<&'a str>,
}

/// Headlines beside baselines and closing rows, with delta-m.
pub(super) fn results(runs: &[Shown]) -> Markup {
    let tasks = task_names(runs);
    let measured: Vec<(&Shown, &StoredEvaluation)> =
        runs.iter().filter_map(|shown| Some((shown, shown.run.evaluation.as_ref()?))).collect();
    if measured.is_empty() {
        return html! { p { "No evaluation is done yet." } };
    }
    let columns = columns(&measured, &tasks);
    let deltas = columns.iter().any(|column| column.delta_m.is_some());
    html! {
        (scrolling("Results", html! {
            table {
                caption { "Headline of every task; of several runs the best is bold." }
                thead { tr {
                    th.word scope="col" { "Task" } th.word scope="col" { "Metric" }
                    @for column in &columns { th scope="col" { (column.title) } }
                } }
                tbody {
                    @for (row, task) in tasks.iter().enumerate() {
                        @if let Some(score) = measured.iter().find_map(|(_, e)| e.headline(task)) {
                            tr {
                                th scope="row" { (task) }
                                td.word { (metric(score)) }
                                @for column in &columns { (cell(column, row, score, &columns)) }
                            }
                        }
                    }
                    @if deltas { tr {
                        th scope="row" { "delta-m" } td.word { "% (higher is better)" }
                        @for column in &columns { td { (column.delta_m.map_or("-".into(), signed)) } }
                    } }
                }
            }
        }))
        details {
            summary { "All scores" }
            (scrolling("All scores", all_scores(&measured, &tasks)))
        }
    }
}

fn columns<'a>(measured: &[(&'a Shown, &StoredEvaluation)], tasks: &[String]) -> Vec<Column<'a>> {
    let values = |evaluation: &StoredEvaluation| -> Vec<Option<f64>> {
        tasks.iter().map(|task| evaluation.headline(task).map(|score| score.value)).collect()
    };
    let mut columns = Vec::new();
    if let Some(baselines) = measured.iter().find_map(|(shown, _)| shown.run.baselines.as_ref()) {
        let of = |task: &String| baselines.single_task.iter().find(|b| b.task == *task);
        columns.push(Column {
            title: "single task (recorded)".into(),
            values: tasks.iter().map(|task| of(task).map(|baseline| baseline.value)).collect(),
            delta_m: Some(0.0),
            run: None,
        });
    }
    let delta_m = |evaluation: &StoredEvaluation| evaluation.delta_m.as_ref().map(|d| d.percent);
    for (shown, evaluation) in measured {
        for (name, other) in &shown.run.compared {
            let title = match measured.len() {
                1 => name.clone(),
                _ => format!("{name} ({})", shown.run.name),
            };
            columns.push(Column {
                title,
                values: values(other),
                delta_m: delta_m(other),
                run: None,
            });
        }
        let title =
            if measured.len() == 1 { shown.run.recipe.label() } else { shown.run.name.clone() };
        let run = Some(shown.run.name.as_str());
        columns.push(Column {
            title,
            values: values(evaluation),
            delta_m: delta_m(evaluation),
            run,
        });
    }
    columns
}

fn metric(score: &StoredScore) -> String {
    let unit = if score.unit.is_empty() { String::new() } else { format!(" [{}]", score.unit) };
    let better = if score.higher_is_better { "higher" } else { "lower" };
    format!("{}{unit} ({better} is better)", score.name)
}

fn cell(column: &Column, row: usize, score: &StoredScore, all: &[Column]) -> Markup {
    let Some(value) = column.values[row] else { return html! { td { "-" } } };
    let runs: Vec<f64> =
        all.iter().filter(|c| c.run.is_some()).filter_map(|c| c.values[row]).collect();
    let sign = if score.higher_is_better { 1.0 } else { -1.0 };
    let best = runs.len() > 1
        && column.run.is_some()
        && runs.iter().all(|other| sign * value >= sign * other);
    let text = format!("{value:.2}");
    if best {
        html! { td.best { (text) } }
    } else {
        html! { td { (text) } }
    }
}

fn all_scores(measured: &[(&Shown, &StoredEvaluation)], tasks: &[String]) -> Markup {
    let scores = |task: &String| -> Vec<&StoredScore> {
        let found = measured.iter().filter_map(|(_, e)| e.task(task));
        found
            .map(|task| &task.scores)
            .find(|s| !s.is_empty())
            .map(|s| s.iter().collect())
            .unwrap_or_default()
    };
    let value = |evaluation: &StoredEvaluation, task: &String, name: &str| {
        let found = evaluation.task(task)?.scores.iter().find(|score| score.name == name);
        found.map(|score| format!("{:.3}", score.value))
    };
    html! {
        table {
            thead { tr {
                th.word scope="col" { "Task" } th.word scope="col" { "Metric" }
                @for (shown, _) in measured { th scope="col" { (shown.run.name) } }
            } }
            tbody { @for task in tasks { @for score in scores(task) { tr {
                th scope="row" { (task) } td.word { (metric(score)) }
                @for (_, evaluation) in measured {
                    td { (value(evaluation, task, &score.name).unwrap_or_else(|| "-".into())) }
                }
            } } } }
        }
    }
}

/// Every field in which the recipes of several runs differ.
pub(super) fn differences(runs: &[Shown]) -> Markup {
    let [first, others @ ..] = runs else { return html! {} };
    if others.is_empty() {
        return html! {};
    }
    let changes: Vec<Vec<crate::Change>> =
        others.iter().map(|other| first.run.recipe.changes(&other.run.recipe)).collect();
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for change in changes.iter().flatten() {
        if !keys.iter().any(|(key, _)| *key == change.key) {
            keys.push((&change.key, &change.old));
        }
    }
    if keys.is_empty() {
        return html! { p { "The recipes are the same." } };
    }
    let value = |changes: &[crate::Change], key: &str, same: &str| {
        changes.iter().find(|c| c.key == key).map_or_else(|| same.to_owned(), |c| c.new.clone())
    };
    scrolling(
        "Differences of the recipes",
        html! {
            table {
                thead { tr {
                    th.word scope="col" { "Field" }
                    @for shown in runs { th.word scope="col" { (shown.run.name) } }
                } }
                tbody { @for (key, old) in &keys { tr {
                    th scope="row" { (key) } td.word { (old) }
                    @for changes in &changes { td.word { (value(changes, key, old)) } }
                } } }
            }
        },
    )
}
