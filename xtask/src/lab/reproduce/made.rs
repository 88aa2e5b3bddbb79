//! With what the runs of a row were made: it stays in the data of a table where the runs do not.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::outcome::Done;
use crate::lab::machine::Origin;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Made {
    /// Machine and versions.
    pub(crate) on: String,
    /// Commits that trained the runs.
    pub(crate) commits: Vec<String>,
    /// Seconds of training and evaluation, where they are known.
    pub(crate) wall_s: Option<f64>,
    /// Images of a measurement of time.
    pub(crate) images: Option<u64>,
    /// Why the row does not merge, where it does not.
    pub(crate) merge_refused: Option<String>,
}

impl Made {
    /// Of `runs` that were trained here.
    pub(crate) fn of(runs: &[Done], origin: &Origin) -> Self {
        let mut commits: Vec<String> = Vec::new();
        join(&mut commits, runs.iter().map(|run| run.record.git.short()));
        Self {
            on: origin.machine(),
            commits,
            wall_s: Some(runs.iter().map(|run| run.record.wall_s).sum()),
            images: runs.first().map(|run| run.time.images),
            merge_refused: runs.iter().find_map(|run| run.merge_refused.clone()),
        }
    }

    /// With `more`, which made the seeds in `seeds`.
    pub(crate) fn and(mut self, more: Self, seeds: Range<usize>) -> Self {
        if self.on != more.on {
            self.on = format!(
                "{} Seeds {} to {}: {}",
                self.on,
                seeds.start,
                seeds.end.saturating_sub(1),
                more.on
            );
        }
        join(&mut self.commits, more.commits);
        self.wall_s = self.wall_s.zip(more.wall_s).map(|(old, new)| old + new);
        self.images = more.images.or(self.images);
        self.merge_refused = more.merge_refused.or(self.merge_refused);
        self
    }

    /// What is known of rows that do not say it themselves.
    pub(crate) fn or_from(self, origin: &Origin) -> Self {
        if !self.on.is_empty() {
            return self;
        }
        Self { on: origin.machine(), commits: vec![origin.git.short()], ..self }
    }
}

/// Puts those of `more` behind `all` that are not among them.
pub(crate) fn join(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}
