//! What every stage of a run measured: how tasks fare while others are learned.

use std::path::Path;

use serde::Deserialize;

use crate::run::checkpoint::read_json;
use crate::staged::folders;
use crate::{Recipe, Result, RunFolder};

/// A table of tasks and stages.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTable {
    /// Names of the stages that were measured, in their order.
    pub stages: Vec<String>,
    /// The tasks of all of them.
    pub tasks: Vec<StageRow>,
}

/// How one task fared.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRow {
    /// Name of the task.
    pub task: String,
    /// Name of its headline.
    pub metric: String,
    /// The headline behind every stage; none where the stage does not have the task.
    pub values: Vec<Option<f64>>,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl StageRow {
    /// What the task has lost since the first stage that had it: positive where it is worse now.
    /// None where no later stage had it.
    pub fn forgetting(&self) -> Option<f64> {
        let known: Vec<f64> = self.values.iter().copied().flatten().collect();
        let [first, .., last] = known[..] else { return None };
        let sign = if self.higher_is_better { 1.0 } else { -1.0 };
        Some(sign * (first - last))
    }

    /// What the first stage that had the task reached more than `alone`, the headline of a run of the
    /// task alone: positive where what was learned before helps.
    pub fn forward_transfer(&self, alone: f64) -> Option<f64> {
        let sign = if self.higher_is_better { 1.0 } else { -1.0 };
        let first = self.values.iter().copied().flatten().next()?;
        Some(sign * (first - alone))
    }
}

#[derive(Deserialize)]
struct Measured {
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    task: String,
    scores: Vec<Score>,
}

#[derive(Deserialize)]
struct Score {
    name: String,
    value: f64,
    higher_is_better: bool,
}

impl StageTable {
    /// What the stages of the run in `path` measured last.
    ///
    /// # Errors
    /// A folder that is no run, or a file that cannot be read.
    pub fn of_run(path: &Path) -> Result<Self> {
        let mut table = Self { stages: Vec::new(), tasks: Vec::new() };
        for folder in folders(path)? {
            let file = folder.join("evaluation.json");
            if !file.exists() {
                continue;
            }
            let recipe: Recipe = RunFolder::open(&folder)?.recipe()?.0;
            let measured: Measured = read_json(&file)?;
            table.push(recipe.stage_name.unwrap_or(recipe.name), measured);
        }
        Ok(table)
    }

    fn push(&mut self, stage: String, measured: Measured) {
        let before = self.stages.len();
        self.stages.push(stage);
        self.tasks.iter_mut().for_each(|row| row.values.push(None));
        for Task { task, scores } in measured.tasks {
            let Some(Score { name, value, higher_is_better }) = scores.into_iter().next() else {
                continue;
            };
            match self.tasks.iter_mut().find(|row| row.task == task) {
                Some(row) => row.values[before] = Some(value),
                None => {
                    let values = vec![None; before].into_iter().chain([Some(value)]).collect();
                    self.tasks.push(StageRow { task, metric: name, values, higher_is_better });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(tasks: &[(&str, f64, bool)]) -> Measured {
        let task = |&(task, value, higher_is_better): &(&str, f64, bool)| Task {
            task: task.into(),
            scores: vec![Score { name: "m".into(), value, higher_is_better }],
        };
        Measured { tasks: tasks.iter().map(task).collect() }
    }

    #[test]
    fn forgetting_is_since_a_task_was_learned_and_transfer_when_it_was() {
        let mut table = StageTable { stages: vec![], tasks: vec![] };
        table.push("one".into(), measured(&[("a", 80.0, true)]));
        table.push("two".into(), measured(&[("a", 70.0, true), ("b", 0.5, false)]));
        table.push("three".into(), measured(&[("a", 75.0, true), ("b", 0.4, false)]));
        let [a, b] = &table.tasks[..] else { panic!("two tasks") };
        assert_eq!(a.values, [Some(80.0), Some(70.0), Some(75.0)]);
        assert_eq!(b.values, [None, Some(0.5), Some(0.4)]);
        assert_eq!((a.forgetting(), a.forward_transfer(78.0)), (Some(5.0), Some(2.0)));
        let better = b.forgetting().unwrap();
        assert!((better + 0.1).abs() < 1e-12, "{better}");
        assert_eq!(b.forward_transfer(0.25), Some(-0.25));
        let row = StageRow { values: vec![None, Some(1.0)], ..a.clone() };
        assert_eq!(row.forgetting(), None);
    }
}
