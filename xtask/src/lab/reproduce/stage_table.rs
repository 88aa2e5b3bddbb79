//! The table of tasks and stages, of rows whose tasks come one after the other.

use super::spread::Spread;
use super::stages::{Stages, TaskOverStages};
use super::summary::Summary;
use super::table::{escaped, table};

const WORDS: &str = "Behind every stage. Forgetting is what a task has lost since the first stage that \
                     had it: positive is worse. Forward transfer is what that stage reached more \
                     than a model of the task alone with the same seed: positive is better.";

/// Every row and task of `rows` behind every stage, a table for rows with the same stages; none
/// where no task is in several stages.
pub(crate) fn stage_tables(rows: &[Summary]) -> Option<String> {
    let staged: Vec<(&Summary, &Stages)> =
        rows.iter().filter_map(|row| Some((row, row.stages.as_ref()?))).collect();
    let mut kinds: Vec<&[String]> = Vec::new();
    for (_, stages) in &staged {
        if !kinds.contains(&&stages.names[..]) {
            kinds.push(&stages.names);
        }
    }
    let tables = kinds.iter().map(|names| {
        let alike = staged.iter().filter(|(_, stages)| stages.names == *names);
        table(&lines(names, alike.copied()))
    });
    let tables: Vec<String> = tables.collect();
    (!tables.is_empty()).then(|| format!("{WORDS}\n\n{}", tables.join("\n\n")))
}

fn lines<'a>(
    names: &[String],
    rows: impl Iterator<Item = (&'a Summary, &'a Stages)>,
) -> Vec<Vec<String>> {
    let head = ["method", "task"].into_iter().chain(names.iter().map(String::as_str));
    let head = head.chain(["forgetting", "forward transfer"]).map(escaped).collect();
    let all = rows.flat_map(|(row, stages)| {
        stages.tasks.iter().map(move |task| line(&row.row.name, task, stages.names.len()))
    });
    std::iter::once(head).chain(all).collect()
}

fn line(row: &str, task: &TaskOverStages, count: usize) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let values = (0..count).map(|index| task.behind(index).map(|spread| spread.text(2)));
    let signed = |spread: Option<Spread>| spread.map(|spread| spread.signed(2));
    let ends = [signed(task.forgetting()), signed(task.forward_transfer())];
    let own = [escaped(row), escaped(&title(task))];
    own.into_iter().chain(values.chain(ends).map(or_none)).collect()
}

/// `birds top1 [%] ↑`.
fn title(task: &TaskOverStages) -> String {
    let unit = if task.unit.is_empty() { String::new() } else { format!(" [{}]", task.unit) };
    let arrow = if task.higher_is_better { "↑" } else { "↓" };
    format!("{} {}{unit} {arrow}", task.task, task.name)
}
