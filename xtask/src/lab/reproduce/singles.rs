//! Delta-m: what results are compared with, seed by seed.

use std::collections::BTreeMap;

use super::spread::{average, change};

/// A headline score: task, value, and whether more is better.
pub(crate) type Headline<'a> = (&'a str, f64, bool);

/// Headlines of models of single tasks, by seed and task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Singles(BTreeMap<(u64, String), f64>);

impl Singles {
    /// Notes the headlines of `seed`.
    pub(crate) fn insert<'a>(&mut self, seed: u64, headlines: impl Iterator<Item = Headline<'a>>) {
        self.0.extend(headlines.map(|(task, value, _)| ((seed, task.to_owned()), value)));
    }

    /// The headline of `task` with `seed`.
    pub(crate) fn value(&self, seed: u64, task: &str) -> Option<f64> {
        self.0.get(&(seed, task.to_owned())).copied()
    }

    /// Delta-m of `headlines` with `seed`, in percent; none where a task is missing.
    pub(crate) fn delta_m<'a>(
        &self,
        seed: u64,
        headlines: impl Iterator<Item = Headline<'a>>,
    ) -> Option<f64> {
        let changes = headlines.map(|(task, value, higher_is_better)| {
            let single = self.0.get(&(seed, task.to_owned()))?;
            Some(change(value, *single, higher_is_better))
        });
        average(&changes.collect::<Option<Vec<_>>>()?)
    }
}
