//! What every loss weighting does.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// What to minimise in this step: `sum_i weights_i L_i`, the weights being constants.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskWeights {
    /// One weight for each task of the batch: `d total / d L_i`.
    pub weights: Vec<f64>,
    /// The method's own objective, to log. Its value may differ from the weighted sum.
    pub total: f64,
}

impl TaskWeights {
    /// `sum_i weights_i L_i` as an objective.
    pub fn of(weights: Vec<f64>, info: &StepInfo) -> Self {
        let total = weights.iter().zip(info.losses()).map(|(weight, loss)| weight * loss).sum();
        Self { weights, total }
    }
}

/// Weights tasks by their losses.
pub trait LossWeighting: Debug + Send {
    /// Weights of this batch. Nothing changes, so micro-batches and skipped steps may ask freely.
    ///
    /// # Errors
    /// A batch of another run, or a loss that the method has no weight for.
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights>;

    /// Moves what is trainable, once after each optimiser step that was done.
    ///
    /// `batch` holds the losses of the whole step (means over its micro-batches), `new_losses`
    /// those of the same batch after the step, for methods that need them.
    ///
    /// # Errors
    /// As [`LossWeighting::weights`], or [`Error::Missing`](crate::Error::Missing).
    fn after_step(&mut self, _info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        Ok(())
    }

    /// Whether [`LossWeighting::after_step`] needs losses computed again after the step, with the
    /// same augmentation, dropout and drop-path.
    fn needs_new_losses(&self) -> bool {
        false
    }

    /// Over which shared parameters the lengths of the task gradients are measured, where
    /// [`LossWeighting::after_step`] needs them in [`StepInfo::with_norms`].
    fn norms_over(&self) -> Option<NormsOver> {
        None
    }

    /// The primary tasks, all if empty, where the method looks ahead: [`LossWeighting::weights`]
    /// and [`LossWeighting::after_step`] then move the weights by [`StepInfo::with_gains`].
    ///
    /// A gain is `lr g_i . v`, `v` the gradient of the primary tasks' losses on a second batch
    /// behind a virtual step.
    fn primary(&self) -> Option<&[String]> {
        None
    }

    /// Longest shared gradient that the method allows.
    fn max_norm(&self) -> Option<f64> {
        None
    }

    /// What is remembered from step to step, which a checkpoint must hold.
    fn state(&self) -> Option<&State> {
        None
    }

    /// The same, to be restored.
    fn state_mut(&mut self) -> Option<&mut State> {
        None
    }
}

/// Which shared parameters' gradients are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormsOver {
    /// Those of the last block that has any: short backward passes.
    LastBlock,
    /// All of them: as many whole passes as there are tasks, and one more.
    All,
}
