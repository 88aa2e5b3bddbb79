//! Results as people read them.

use comfy_table::{CellAlignment, Table, presets};
use polyptych_engine::{Evaluation, Peak, TaskScores};

/// One column of a comparison: a title, and an evaluation or recorded headlines.
pub(crate) struct Column<'a> {
    pub(crate) title: String,
    pub(crate) values: Vec<(&'a str, f64)>,
    pub(crate) delta_m: Option<f64>,
}

impl<'a> Column<'a> {
    /// The headlines of `evaluation`.
    pub(crate) fn of(title: impl Into<String>, evaluation: &'a Evaluation) -> Self {
        let headlines = evaluation.headlines();
        Self {
            title: title.into(),
            values: headlines.into_iter().map(|(task, score)| (task, score.value)).collect(),
            delta_m: evaluation.delta_m.as_ref().map(|delta| delta.percent),
        }
    }
}

/// Every score of every task.
pub(crate) fn scores(evaluation: &Evaluation) -> String {
    let mut table = bare(&["task", "metric", "value", ""]);
    for task in &evaluation.tasks {
        if task.scores.is_empty() {
            table.add_row([task.task.as_str(), "no label in the data", "", ""]);
        }
        for (index, score) in task.scores.iter().enumerate() {
            let name = if index == 0 { task.task.as_str() } else { "" };
            table.add_row([name, score.name, &format!("{:.3}", score.value), score.unit]);
        }
    }
    if let Some(delta) = &evaluation.delta_m {
        table.add_row(["delta-m", "", &format!("{:+.2}", delta.percent), "%"]);
    }
    align(&mut table, &[2]);
    table.to_string()
}

/// Headlines of several models side by side, rows and units after `reference`.
pub(crate) fn comparison(reference: &Evaluation, columns: &[Column]) -> String {
    let titles = columns.iter().map(|column| column.title.as_str());
    let head: Vec<&str> = ["task", "metric", ""].into_iter().chain(titles).collect();
    let mut table = bare(&head);
    for (task, score) in reference.headlines() {
        let better = if score.higher_is_better { "higher" } else { "lower" };
        let metric = match score.unit {
            "" => score.name.to_owned(),
            unit => format!("{} [{unit}]", score.name),
        };
        let cells = columns.iter().map(|column| {
            let value = column.values.iter().find(|(name, _)| *name == task);
            value.map_or(String::new(), |(_, value)| format!("{value:.2}"))
        });
        let row = [task.to_owned(), metric, format!("{better} is better")];
        table.add_row(row.into_iter().chain(cells).collect::<Vec<_>>());
    }
    if columns.iter().any(|column| column.delta_m.is_some()) {
        let cell = |column: &Column| column.delta_m.map_or(String::new(), |d| format!("{d:+.2}"));
        let row = ["delta-m [%]".to_owned(), String::new(), "higher is better".to_owned()];
        table.add_row(row.into_iter().chain(columns.iter().map(cell)).collect::<Vec<_>>());
    }
    align(&mut table, &(3..3 + columns.len()).collect::<Vec<_>>());
    table.to_string()
}

/// When each task was at its best.
pub(crate) fn peaks(evaluation: &Evaluation) -> String {
    let one = |task: &TaskScores| {
        let Peak { value, step, epoch } = task.peak?;
        Some(format!("{} {value:.2} after {epoch:.1} epochs (step {step})", task.task))
    };
    let all: Vec<String> = evaluation.tasks.iter().filter_map(one).collect();
    format!("best: {}", all.join(", "))
}

fn bare(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head.to_vec());
    table
}

fn align(table: &mut Table, numbers: &[usize]) {
    for &index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn unlabelled() -> Evaluation {
        Evaluation { tasks: vec![task("edge", None)], delta_m: None }
    }

    fn task(name: &str, peak: Option<Peak>) -> TaskScores {
        TaskScores { task: name.into(), scores: Vec::new(), peak, observed: BTreeMap::new() }
    }

    #[test]
    fn every_task_has_its_own_peak() {
        let peak = |value, step, epoch| Some(Peak { value, step, epoch });
        let tasks = vec![task("cars", peak(61.25, 300, 7.5)), task("birds", None)];
        let text = peaks(&Evaluation { tasks, delta_m: None });
        assert_eq!(text, "best: cars 61.25 after 7.5 epochs (step 300)");
    }

    #[test]
    fn a_task_without_labels_has_a_row_too() {
        let text = scores(&unlabelled());
        assert_eq!(text.lines().last(), Some("| edge | no label in the data |       |   |"));
    }

    #[test]
    fn delta_m_stands_last_where_it_is_known() {
        let column = |title: &str, delta_m| Column { title: title.into(), values: vec![], delta_m };
        let (single, frozen) = (column("single", Some(0.0)), column("frozen", Some(-12.345)));
        let text = comparison(&unlabelled(), &[single, frozen, column("new", None)]);
        let last: Vec<&str> = text.lines().last().unwrap_or("").split('|').map(str::trim).collect();
        assert_eq!(last[1..7], ["delta-m [%]", "", "higher is better", "+0.00", "-12.35", ""]);
    }
}
