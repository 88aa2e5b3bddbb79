//! How tasks fared from stage to stage, as people read it.

use std::collections::BTreeMap;

use polyptych_engine::StageTable;

use crate::table::{align, bare};

/// The headline of every task behind every stage, what it has lost since it was learned, and what it
/// gained by what was learned before over the headline of a run of the task `alone`.
pub(crate) fn stages(found: &StageTable, alone: &BTreeMap<&str, f64>) -> String {
    let names = found.stages.iter().map(String::as_str);
    let head: Vec<&str> =
        ["task", "metric"].into_iter().chain(names).chain(["forgetting", "transfer"]).collect();
    let mut table = bare(&head);
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    for row in &found.tasks {
        let own = [row.task.clone(), row.metric.clone()];
        let alone = alone.get(row.task.as_str());
        let transfer = alone.and_then(|alone| row.forward_transfer(*alone));
        let values = row.values.iter().copied().chain([row.forgetting(), transfer]).map(number);
        table.add_row(own.into_iter().chain(values));
    }
    align(&mut table, &(2..head.len()).collect::<Vec<_>>());
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_engine::StageRow;

    #[test]
    fn a_task_has_a_row_and_a_stage_a_column() {
        let values = vec![Some(80.0), Some(70.5)];
        let row = |task: &str, values| StageRow {
            task: task.into(),
            metric: "top1".into(),
            values,
            higher_is_better: true,
        };
        let stages = vec!["first".into(), "second".into()];
        let tasks = vec![row("birds", values), row("cars", vec![None, Some(60.0)])];
        let alone = BTreeMap::from([("cars", 58.5)]);
        let text = super::stages(&StageTable { stages, tasks }, &alone);
        let words =
            |line: &str| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert!(
            lines.contains(&"task metric first second forgetting transfer".to_owned()),
            "{text}"
        );
        assert!(lines.contains(&"birds top1 80.000 70.500 9.500 -".to_owned()), "{text}");
        assert!(lines.contains(&"cars top1 - 60.000 - 1.500".to_owned()), "{text}");
    }
}
