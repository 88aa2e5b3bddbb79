//! What goes into the gradients of a step, and what comes out.

use polyptych_distributed::{GradientBuckets, Ranks};
use polyptych_losses::balancers::{GradientWeights, StepInfo};
use polyptych_tensor::{GradScaler, Tensor};

use crate::model::features::Cut;
use crate::training::conflict::Conflict;

/// The losses of a step, whose gradients are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepLosses<'a> {
    /// Float32 scalar of every task.
    pub(crate) losses: &'a [Tensor],
    /// Whether the task has any label.
    pub(crate) labelled: &'a [bool],
    /// Where the graphs of the losses end, where the method asks for a cut.
    pub(crate) cut: Option<&'a Cut>,
    /// Every task's gain, where the method looks ahead.
    pub(crate) gains: Option<&'a [f64]>,
    /// The processes that have a part of the batch each; losses are those of the whole batch, and
    /// their graphs those of the part.
    pub(crate) ranks: &'a Ranks,
    /// What sums the gradients of one pass over them; none where there is one process.
    pub(crate) buckets: Option<&'a GradientBuckets>,
    /// For backward passes in float16, whose scale no gradient keeps.
    pub(crate) scaler: Option<&'a GradScaler>,
    /// Steps done before.
    pub(crate) step: u64,
}

impl StepLosses<'_> {
    /// The tasks that have labels.
    pub(super) fn tasks(&self) -> Vec<usize> {
        labelled_tasks(self.labelled)
    }

    /// What the losses are multiplied by in a backward pass.
    pub(super) fn scale(&self) -> f64 {
        self.scaler.map_or(1.0, GradScaler::scale)
    }
}

/// What a step's gradients were made of.
#[derive(Debug)]
pub(crate) struct BalancedStep {
    /// The tasks with labels and their losses; none if no task has any.
    pub(crate) info: Option<StepInfo>,
    /// Sum of the losses, times the loss weighting's weights, a scalar.
    pub(crate) total: Tensor,
    /// The method's factor on every task of the batch, where it has some.
    pub(crate) weights: Vec<f64>,
    /// The tasks' conflict, in a step that measures it.
    pub(crate) conflict: Option<Conflict>,
    /// Factors of every task's gradients, for an optimiser that takes them apart.
    pub(super) by_task: Option<GradientWeights>,
}

/// How the gradients of a step were clipped, all together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clipping {
    /// Their joint norm before.
    pub(crate) norm: f64,
    /// The largest norm that the recipe allows.
    pub(crate) max_norm: f64,
}

/// Positions of the tasks that have labels.
pub(super) fn labelled_tasks(labelled: &[bool]) -> Vec<usize> {
    (0..labelled.len()).filter(|&task| labelled[task]).collect()
}
