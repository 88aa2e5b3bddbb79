//! Results as people read them.

use comfy_table::{CellAlignment, Table, presets};
use polyptych_engine::{Evaluation, NamedClass, Peak, TaskScores};

/// A task of more classes has no table of them.
const MAX_CLASSES: usize = 64;
/// Of more classes only the most frequent confusions are shown.
const MAX_MATRIX: usize = 12;
const MAX_CONFUSIONS: usize = 10;

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

/// Every class of every task that has some; nothing where none has.
pub(crate) fn classes(evaluation: &Evaluation) -> Option<String> {
    let mut table = bare(&["task", "class", "metric", "value", ""]);
    for task in &evaluation.tasks {
        if task.classes.len() > MAX_CLASSES {
            let count = format!("{} classes: see --json", task.classes.len());
            table.add_row([task.task.as_str(), &count, "", "", ""]);
            continue;
        }
        for (index, class) in task.classes.iter().enumerate() {
            let name = if index == 0 { task.task.as_str() } else { "" };
            let (value, note) = class_cells(class);
            table.add_row([name, &class.class, class.score.metric, &value, note]);
        }
    }
    align(&mut table, &[3]);
    (table.row_count() > 0).then(|| table.to_string())
}

/// What is taken for what, of every task with classes; nothing where none has several.
pub(crate) fn confusions(evaluation: &Evaluation) -> Option<String> {
    let several = |task: &&TaskScores| task.details.confusion.len() > 1;
    let tables: Vec<String> = evaluation.tasks.iter().filter(several).map(confusion).collect();
    (!tables.is_empty()).then(|| tables.join("\n\n"))
}

/// Shares of a label in percent, or the most frequent confusions where there are many classes.
fn confusion(task: &TaskScores) -> String {
    let (name, matrix) = (&task.task, &task.details.confusion);
    let class = |index: usize| task.classes.get(index).map_or("another", |c| c.class.as_str());
    if matrix.len() > MAX_MATRIX {
        return frequent(name, matrix, &class);
    }
    let columns = matrix.iter().map(Vec::len).max().unwrap_or(0);
    let title = format!("{name}: label, predicted [%]");
    let head: Vec<&str> = std::iter::once(title.as_str()).chain((0..columns).map(class)).collect();
    let mut table = bare(&head);
    for (index, row) in matrix.iter().enumerate() {
        let all = row.iter().sum::<u64>();
        let share = |&count: &u64| match all {
            0 => "-".to_owned(),
            all => format!("{:.1}", 100.0 * count as f64 / all as f64),
        };
        table.add_row(std::iter::once(class(index).to_owned()).chain(row.iter().map(share)));
    }
    align(&mut table, &(1..=columns).collect::<Vec<_>>());
    table.to_string()
}

fn frequent<'a>(name: &str, matrix: &[Vec<u64>], class: &dyn Fn(usize) -> &'a str) -> String {
    let cells = matrix.iter().enumerate().flat_map(|(row, counts)| {
        counts.iter().enumerate().map(move |(column, &count)| (count, row, column))
    });
    let mut wrong: Vec<_> =
        cells.filter(|(count, row, column)| row != column && *count > 0).collect();
    wrong.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let mut table = bare(&[&format!("{name}: label"), "predicted", "of the label [%]"]);
    for (count, row, column) in wrong.into_iter().take(MAX_CONFUSIONS) {
        let share = 100.0 * count as f64 / matrix[row].iter().sum::<u64>() as f64;
        table.add_row([class(row), class(column), &format!("{share:.1}")]);
    }
    align(&mut table, &[2]);
    table.to_string()
}

/// The value of a class, and what is to be said of it.
fn class_cells(class: &NamedClass) -> (String, &'static str) {
    match (class.score.value, class.score.labelled) {
        (Some(value), true) => (format!("{value:.3}"), "%"),
        (Some(value), false) => (format!("{value:.3}"), "% (absent from the labels, predicted)"),
        (None, _) => ("absent".into(), "in no mean"),
    }
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

pub(crate) fn bare(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head.to_vec());
    table
}

pub(crate) fn align(table: &mut Table, numbers: &[usize]) {
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
        TaskScores {
            task: name.into(),
            scores: Vec::new(),
            classes: vec![],
            peak,
            observed: BTreeMap::new(),
            details: Default::default(),
        }
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
    fn classes_that_are_in_no_label_are_marked() {
        use polyptych_engine::ClassScore;
        let class = |name: &str, value, labelled| NamedClass {
            class: name.into(),
            score: ClassScore { metric: "iou", value, labelled },
        };
        let classes = vec![
            class("sky", Some(50.0), true),
            class("sea", Some(0.0), false),
            class("ice", None, false),
        ];
        let semseg = TaskScores { classes, ..task("semseg", None) };
        let text =
            super::classes(&Evaluation { tasks: vec![semseg], delta_m: None }).unwrap_or_default();
        let rows: Vec<Vec<&str>> =
            text.lines().skip(2).map(|row| row.split('|').map(str::trim).collect()).collect();
        assert_eq!(rows[0][1..6], ["semseg", "sky", "iou", "50.000", "%"]);
        assert_eq!(rows[1][4..6], ["0.000", "% (absent from the labels, predicted)"]);
        assert_eq!(rows[2][4..6], ["absent", "in no mean"]);
        assert_eq!(super::classes(&unlabelled()), None);
    }

    #[test]
    fn confusions_are_shares_of_a_label() {
        let named = |name: &str| {
            let score = polyptych_engine::ClassScore { metric: "iou", value: None, labelled: true };
            NamedClass { class: name.into(), score }
        };
        let mut semseg = task("semseg", None);
        semseg.classes = ["sky", "sea"].map(named).into();
        semseg.details.confusion = vec![vec![3, 1], vec![0, 0]];
        let text = confusions(&Evaluation { tasks: vec![semseg.clone()], delta_m: None });
        let text = text.unwrap_or_default();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|row| row.split('|').map(str::trim).collect()).collect();
        assert_eq!(rows[2][1..4], ["sky", "75.0", "25.0"]);
        assert_eq!(rows[3][1..4], ["sea", "-", "-"]);
        semseg.classes = (0..20).map(|index| named(&index.to_string())).collect();
        semseg.details.confusion = vec![vec![0; 20]; 20];
        semseg.details.confusion[4][7] = 5;
        semseg.details.confusion[4][4] = 15;
        let text =
            confusions(&Evaluation { tasks: vec![semseg], delta_m: None }).unwrap_or_default();
        let last: Vec<&str> = text.lines().last().unwrap_or("").split('|').map(str::trim).collect();
        assert_eq!(last[1..4], ["4", "7", "25.0"]);
        assert_eq!(confusions(&unlabelled()), None);
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
