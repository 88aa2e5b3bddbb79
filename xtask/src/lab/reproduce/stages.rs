//! How tasks fare from stage to stage: what they lose, and what earlier ones give them.
//!
//! ```text
//! forgetting       = R_1 - R_n        R_k: headline behind the k-th stage that has the task
//! forward transfer = R_1 - R_alone    each times -1 where less is better
//! ```

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Score};
use super::singles::Singles;
use super::spread::Spread;

/// Headlines behind every stage of a row's runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stages {
    /// The stages in their order.
    pub(crate) names: Vec<String>,
    /// The tasks in the order in which they join.
    pub(crate) tasks: Vec<TaskOverStages>,
}

/// The headline of one task behind every stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskOverStages {
    /// The task.
    pub(crate) task: String,
    /// Name of its headline.
    pub(crate) name: String,
    /// Unit of the headline, maybe empty.
    pub(crate) unit: String,
    /// Whether more is better.
    pub(crate) higher_is_better: bool,
    /// Seed by seed, one for every stage; none where the stage does not have the task.
    pub(crate) values: Vec<Vec<Option<f64>>>,
    /// Seed by seed that of a model of the task alone, where there is one.
    pub(crate) alone: Vec<Option<f64>>,
}

impl Stages {
    /// Of the runs of a row; none unless some task is in several stages.
    pub(crate) fn of(outcomes: &[Outcome]) -> Option<Self> {
        let first = outcomes.first()?;
        let names = first.stages.iter().map(|measured| measured.stage.clone()).collect();
        let mut tasks: Vec<TaskOverStages> = Vec::new();
        for found in first.stages.iter().flat_map(|measured| &measured.tasks) {
            if tasks.iter().all(|known| known.task != found.task) {
                let score = found.scores.first();
                tasks.extend(score.map(|score| TaskOverStages::of(&found.task, score, outcomes)));
            }
        }
        tasks.iter().any(|task| task.forgetting().is_some()).then_some(Self { names, tasks })
    }

    /// With the seeds of `more` behind its own.
    pub(crate) fn and(mut self, more: Self) -> Self {
        for task in &mut self.tasks {
            if let Some(more) = more.tasks.iter().find(|more| more.task == task.task) {
                task.values.extend(more.values.iter().cloned());
                task.alone.extend(more.alone.iter().copied());
            }
        }
        self
    }

    /// Compared with `alone`, models of single tasks, for the runs with `seeds`.
    pub(crate) fn against(mut self, alone: &Singles, seeds: &[u64]) -> Self {
        for task in &mut self.tasks {
            task.alone = seeds.iter().map(|seed| alone.value(*seed, &task.task)).collect();
        }
        self
    }
}

impl TaskOverStages {
    fn of(task: &str, headline: &Score, outcomes: &[Outcome]) -> Self {
        let of_seed = |outcome: &Outcome| {
            let behind = outcome.stages.iter().map(|measured| {
                let found = measured.tasks.iter().find(|found| found.task == task)?;
                Some(found.scores.first()?.value)
            });
            behind.collect()
        };
        Self {
            task: task.into(),
            name: headline.name.clone(),
            unit: headline.unit.clone(),
            higher_is_better: headline.higher_is_better,
            values: outcomes.iter().map(of_seed).collect(),
            alone: Vec::new(),
        }
    }

    /// Behind the stage at `index`.
    pub(crate) fn behind(&self, index: usize) -> Option<Spread> {
        let known = self.values.iter().filter_map(|values| *values.get(index)?);
        Spread::of(&known.collect::<Vec<_>>())
    }

    /// What the task has lost since the first stage that had it: positive is worse.
    pub(crate) fn forgetting(&self) -> Option<Spread> {
        let lost = |values: &Vec<Option<f64>>| {
            let known: Vec<f64> = values.iter().copied().flatten().collect();
            let [first, .., last] = known[..] else { return None };
            Some(self.sign() * (first - last))
        };
        Spread::of(&self.values.iter().filter_map(lost).collect::<Vec<_>>())
    }

    /// What the first stage that had the task reached more than a model of the task alone: positive
    /// is better.
    pub(crate) fn forward_transfer(&self) -> Option<Spread> {
        let gained = |(values, alone): (&Vec<Option<f64>>, &Option<f64>)| {
            let first = values.iter().copied().flatten().next()?;
            Some(self.sign() * (first - (*alone)?))
        };
        Spread::of(&self.values.iter().zip(&self.alone).filter_map(gained).collect::<Vec<_>>())
    }

    fn sign(&self) -> f64 {
        if self.higher_is_better { 1.0 } else { -1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::reproduce::outcome::{Measured, TaskScores};

    fn measured(stage: &str, tasks: &[(&str, f64, bool)]) -> Measured {
        let task = |&(task, value, higher_is_better): &(&str, f64, bool)| TaskScores {
            task: task.into(),
            scores: vec![Score { name: "m".into(), value, unit: "%".into(), higher_is_better }],
        };
        Measured { stage: stage.into(), tasks: tasks.iter().map(task).collect() }
    }

    /// Two seeds of two stages: more is better of `a`, less of `b`.
    fn outcomes() -> Vec<Outcome> {
        let of = |seed, first: f64, last: f64, b: f64| {
            let both = measured("two", &[("a", last, true), ("b", b, false)]);
            let stages = vec![measured("one", &[("a", first, true)]), both];
            Outcome { seed, runs: Vec::new(), stages }
        };
        vec![of(0, 80.0, 70.0, 0.5), of(1, 84.0, 80.0, 0.75)]
    }

    #[test]
    fn forgetting_is_since_a_task_was_learned_and_transfer_when_it_was() {
        let mut alone = Singles::default();
        alone.insert(0, [("a", 78.0, true), ("b", 0.25, false)].into_iter());
        alone.insert(1, [("a", 80.0, true), ("b", 1.0, false)].into_iter());
        let stages = Stages::of(&outcomes()).unwrap().against(&alone, &[0, 1]);
        assert_eq!(stages.names, ["one", "two"]);
        let [a, b] = &stages.tasks[..] else { panic!("two tasks") };
        let mean = |spread: Option<Spread>| spread.map(|spread| spread.mean);
        assert_eq!([0, 1].map(|index| mean(a.behind(index))), [Some(82.0), Some(75.0)]);
        assert_eq!([0, 1].map(|index| mean(b.behind(index))), [None, Some(0.625)]);
        // (80 - 70 + 84 - 80) / 2 and (80 - 78 + 84 - 80) / 2.
        assert_eq!((mean(a.forgetting()), mean(a.forward_transfer())), (Some(7.0), Some(3.0)));
        // -(0.5 - 0.25) and -(0.75 - 1.0).
        assert_eq!((mean(b.forgetting()), mean(b.forward_transfer())), (None, Some(0.0)));
    }

    #[test]
    fn tasks_that_are_in_one_stage_alone_make_no_table() {
        let apart = |seed| Outcome {
            seed,
            runs: Vec::new(),
            stages: vec![
                measured("one", &[("a", 1.0, true)]),
                measured("two", &[("b", 1.0, true)]),
            ],
        };
        assert_eq!(Stages::of(&[apart(0)]), None);
        assert_eq!(Stages::of(&[]), None);
    }
}
