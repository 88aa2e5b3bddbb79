//! What goes into a step.

use polyptych_data::Batch;
use polyptych_tensor::Tensor;
use polyptych_tensor::optim::Optimiser;

use crate::Model;

/// The batch of a step.
#[derive(Clone, Copy)]
pub(crate) struct StepBatch<'a> {
    /// `[batch, 3, height, width]`, on the model's device.
    pub(crate) images: &'a Tensor,
    /// Targets and names of the samples.
    pub(crate) batch: &'a Batch,
    /// Steps done before.
    pub(crate) step: u64,
    /// Seed of dropout: every pass of a step has the same.
    pub(crate) seed: i64,
}

/// What a step's gradients depend on.
#[derive(Clone, Copy)]
pub(crate) struct StepInputs<'a> {
    pub(crate) model: &'a Model,
    pub(crate) batch: StepBatch<'a>,
    /// The optimiser of the step, for methods that look ahead.
    pub(crate) optimiser: &'a dyn Optimiser,
    /// Learning rate of the step.
    pub(crate) lr: f64,
}
