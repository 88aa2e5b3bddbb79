//! What a recipe says of InterroGate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};

/// Configuration of InterroGate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InterroGateConfig {
    /// Rank of the shared factors.
    pub r: i64,
    /// Rank of every task's factors.
    pub task_r: i64,
    /// `s`, not divided by the rank.
    pub scale: f64,
    /// Mean of the first values of `alpha`.
    pub alpha_init: f64,
    /// Their standard deviation. At 0 all channels would start as the tasks' own, and the shared
    /// factors would learn nothing until gates close.
    pub alpha_std: f64,
    /// `alpha` is this times a parameter, so that it moves so much faster than the factors, whose
    /// steps are too small for gates that start far from closing.
    pub alpha_lr_scale: f64,
    /// `tau`: what part of its channels a task may have for itself.
    pub tau: f64,
    /// `tau` of single tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tau_per_task: BTreeMap<String, f64>,
    /// Weight of what exceeds `tau`, 0 for no budget.
    pub lambda: f64,
    /// What part of the run is done when gates become constants: 1 for never, 0 for a run that goes on
    /// with the gates of another, whose `alpha` it takes and leaves as it is.
    pub harden_at: f64,
    /// What `polyptych prune` left of every layer: rows of the shared stream, then of every task.
    /// A recipe that trains has none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pruned: BTreeMap<String, Vec<i64>>,
}

impl Default for InterroGateConfig {
    fn default() -> Self {
        Self {
            r: 4,
            task_r: 4,
            scale: 1.0,
            alpha_init: 1.0,
            alpha_std: 1.0,
            alpha_lr_scale: 1.0,
            tau: 0.5,
            tau_per_task: BTreeMap::new(),
            lambda: 1.0,
            harden_at: 0.75,
            pruned: BTreeMap::new(),
        }
    }
}

impl InterroGateConfig {
    pub(super) fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("r", self.r), ("task_r", self.task_r)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        for (key, value) in [("scale", self.scale), ("alpha_init", self.alpha_init)] {
            if !value.is_finite() {
                return Err(config(key, "a finite number", value));
            }
        }
        for (key, value) in [("alpha_std", self.alpha_std), ("lambda", self.lambda)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(config(key, "at least 0", value));
            }
        }
        let scale = self.alpha_lr_scale;
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(config("alpha_lr_scale", "a positive number", scale));
        }
        if !(0.0..=1.0).contains(&self.harden_at) {
            return Err(config("harden_at", "at least 0 and at most 1", self.harden_at));
        }
        if let Some(name) = self.tau_per_task.keys().find(|name| !tasks.contains(name)) {
            let expected = format!("one of the tasks {}", tasks.join(", "));
            return Err(config("tau_per_task", expected, name));
        }
        let rows = tasks.len() + 1;
        if let Some((path, found)) = self.pruned.iter().find(|(_, found)| found.len() != rows) {
            let expected = format!("{rows} numbers of rows, one more than tasks");
            return Err(config(format!("pruned.{path}"), expected, found.len()));
        }
        let budgets =
            self.tau_per_task.iter().map(|(task, tau)| (format!("tau_per_task.{task}"), *tau));
        let mut budgets = budgets.chain([("tau".to_owned(), self.tau)]);
        match budgets.find(|(_, part)| !(*part > 0.0 && *part <= 1.0)) {
            Some((key, part)) => Err(config(key, "above 0 and at most 1", part)),
            None => Ok(()),
        }
    }

    pub(super) fn tau(&self, task: &str) -> f64 {
        self.tau_per_task.get(task).copied().unwrap_or(self.tau)
    }
}
