//! Scores of classes, what is taken for what, and how gradients disagree.

use maud::{Markup, html};
use polyptych_data::TaskSpec;

use super::parts::{Shown, grouped, scrolling, task_names};
use crate::report::stored::{StoredClass, StoredTask};

/// More classes have no table.
const MAX_CLASSES: usize = 300;
/// Of more classes only the worst confusions are listed.
const MAX_MATRIX: usize = 40;
const WORST: usize = 12;

/// Every task with classes.
pub(super) fn classes(runs: &[Shown]) -> Markup {
    let tasks: Vec<String> =
        task_names(runs).into_iter().filter(|task| !labelled(runs, task).is_empty()).collect();
    html! {
        @for task in &tasks {
            h3 { (task) }
            (class_table(runs, task))
            @for (run, spec, stored) in labelled(runs, task) {
                (confusion(run, spec, stored, runs.len() > 1))
            }
        }
    }
}

/// What the runs stored of a task with classes.
fn labelled<'a>(runs: &'a [Shown], task: &str) -> Vec<(&'a str, &'a TaskSpec, &'a StoredTask)> {
    let one = |shown: &'a Shown| {
        let stored = shown.run.evaluation.as_ref()?.task(task)?;
        let spec = shown.run.specs.iter().find(|spec| spec.name == task)?;
        (!stored.classes.is_empty()).then_some((shown.run.name.as_str(), spec, stored))
    };
    runs.iter().filter_map(one).collect()
}

fn class_table(runs: &[Shown], task: &str) -> Markup {
    let all = labelled(runs, task);
    let Some((_, spec, first)) = all.first() else { return html! {} };
    if first.classes.len() > MAX_CLASSES {
        return html! { p { (first.classes.len()) " classes: see evaluation.json." } };
    }
    let metric = first.classes.first().map_or("", |class| class.metric.as_str());
    scrolling(
        &format!("Classes of {task}"),
        html! {
            table {
                caption { (metric) " of every class in %" }
                thead { tr {
                    th.word scope="col" { "Class" }
                    @for (run, _, _) in &all { th scope="col" { (run) } th.word scope="col" { "" } }
                } }
                tbody { @for (index, class) in first.classes.iter().enumerate() { tr {
                    th scope="row" { (swatch(spec, index)) (class.class) }
                    @for (_, _, stored) in &all { (class_cells(stored.classes.get(index))) }
                } } }
            }
        },
    )
}

fn class_cells(class: Option<&StoredClass>) -> Markup {
    match class.map(|class| (class.value, class.labelled)) {
        Some((Some(value), labelled)) => html! {
            td { (format!("{value:.2}")) }
            td.bar.word {
                @if labelled { span.meter style={ "width:" (format!("{value:.1}")) "%" } aria-hidden="true" {} }
                @else { "absent from the labels" }
            }
        },
        Some((None, _)) => html! { td { "-" } td.word { "absent" } },
        None => html! { td { "-" } td {} },
    }
}

/// The colour of a class on pictures.
pub(super) fn swatch(spec: &TaskSpec, class: usize) -> Markup {
    let colour = spec.palette.get(class);
    html! {
        @if let (Some([r, g, b]), true) = (colour, spec.is_dense()) {
            span.swatch style={ "background:rgb(" (r) "," (g) "," (b) ")" } {}
        }
    }
}

fn confusion(run: &str, spec: &TaskSpec, stored: &StoredTask, several: bool) -> Markup {
    let matrix = &stored.confusion;
    if matrix.len() < 2 {
        return html! {};
    }
    let title = format!(
        "What is taken for what{}",
        if several { format!(", {run}") } else { String::new() }
    );
    html! {
        details open[!several] {
            summary { (title) }
            @if matrix.len() <= MAX_MATRIX { (whole_matrix(&title, spec, matrix)) }
            @else { (worst(spec, matrix)) }
        }
    }
}

fn class_name(spec: &TaskSpec, class: usize) -> &str {
    spec.classes.get(class).map_or("another task's", String::as_str)
}

fn whole_matrix(title: &str, spec: &TaskSpec, matrix: &[Vec<u64>]) -> Markup {
    let columns = matrix.iter().map(Vec::len).max().unwrap_or(0);
    scrolling(
        title,
        html! {
            table.matrix {
                caption { "Percent of the labels of a row's class that are predicted as the column's" }
                thead { tr {
                    td {}
                    @for column in 0..columns { th scope="col" { span { (class_name(spec, column)) } } }
                } }
                tbody { @for (index, row) in matrix.iter().enumerate() { tr {
                    th scope="row" { (class_name(spec, index)) }
                    @for (column, count) in row.iter().enumerate() {
                        (share_cell(*count, row.iter().sum(), index == column))
                    }
                } } }
            }
        },
    )
}

fn share_cell(count: u64, all: u64, right: bool) -> Markup {
    if all == 0 {
        return html! { td {} };
    }
    let share = count as f64 / all as f64;
    let colour = if right { "--heat" } else { "--heat-bad" };
    let text = match 100.0 * share {
        0.0 => String::new(),
        low if low < 0.5 => "<1".into(),
        percent => format!("{percent:.0}"),
    };
    html! {
        td style={ "background:rgba(var(" (colour) ")," (format!("{:.2}", 0.6 * share)) ")" } { (text) }
    }
}

/// The confusions that most labels meet.
fn worst(spec: &TaskSpec, matrix: &[Vec<u64>]) -> Markup {
    let cells = matrix.iter().enumerate().flat_map(|(row, counts)| {
        counts.iter().enumerate().map(move |(column, &count)| (count, row, column))
    });
    let mut wrong: Vec<_> =
        cells.filter(|(count, row, column)| row != column && *count > 0).collect();
    wrong.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    html! {
        table {
            caption { "The most frequent confusions" }
            thead { tr { th.word scope="col" { "Label" } th.word scope="col" { "Predicted" } th scope="col" { "Count" } } }
            tbody { @for (count, row, column) in wrong.into_iter().take(WORST) { tr {
                td.word { (class_name(spec, row)) } td.word { (class_name(spec, column)) }
                td { (grouped(count as i64)) }
            } } }
        }
    }
}

/// Mean cosines of the tasks' gradients.
pub(super) fn conflict(runs: &[Shown]) -> Markup {
    let measured =
        || runs.iter().filter_map(|shown| Some((&shown.run.name, shown.run.conflict.as_ref()?)));
    if measured().next().is_none() {
        return html! {};
    }
    html! {
        p { "Mean cosine of the angle between two tasks' gradients over shared parameters: 1 agrees, -1 is opposed." }
        @for (name, mean) in measured() {
            @for (place, (group, cosines)) in mean.groups.iter().enumerate() {
                details open[place == 0] {
                    summary { (name) ", " (group) ", " (mean.count) " measurements" }
                    (scrolling(&format!("Cosines of {group}"), html! {
                        table.matrix {
                            thead { tr { td {} @for task in &mean.tasks { th scope="col" { (task) } } } }
                            tbody { @for (task, row) in mean.tasks.iter().zip(cosines) { tr {
                                th scope="row" { (task) }
                                @for cosine in row { (cosine_cell(*cosine)) }
                            } } }
                        }
                    }))
                }
            }
        }
    }
}

fn cosine_cell(cosine: Option<f64>) -> Markup {
    let Some(cosine) = cosine else { return html! { td { "-" } } };
    let colour = if cosine < 0.0 { "--heat-bad" } else { "--heat" };
    html! {
        td style={ "background:rgba(var(" (colour) ")," (format!("{:.2}", 0.6 * cosine.abs())) ")" } {
            (format!("{cosine:+.2}"))
        }
    }
}
