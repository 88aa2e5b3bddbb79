//! What every gradient aggregator does.

use std::fmt::Debug;

use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;
use crate::balancers::tensor_state::TensorState;

/// Weights the task gradients by their inner products: `d = sum_i weights_i g_i`.
pub trait GramAggregator: Debug + Send {
    /// Weights of the task gradients, once per step, after accumulation and before clipping.
    ///
    /// # Errors
    /// A matrix or batch of another size, or a loss that the method has no weight for.
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>>;

    /// Weights of a step that needs no gradient per task, for methods that solve every few steps.
    fn reuse(&self, _info: &StepInfo) -> Option<Vec<f64>> {
        None
    }

    /// Whether the Gram matrix is that of gradients by the representation that all tasks read, and
    /// what its task gradients are made of.
    fn features(&self) -> Option<FeatureGradients> {
        None
    }

    /// Extra, independent batches whose task gradients decide about those of the step: none, or the
    /// two of [`Gram::cross`].
    fn extra_batches(&self) -> usize {
        0
    }

    /// Longest `d` that the method allows.
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

/// Combines the task gradients themselves.
pub trait GradientAggregator: Debug + Send {
    /// The direction `d`, `[P]`, of task gradients `[T, P]` on one device, once per step.
    ///
    /// # Errors
    /// Task gradients of another shape, [`Error::NonFinite`](crate::Error::NonFinite), or a
    /// LibTorch call that fails.
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor>;

    /// What a checkpoint must hold.
    fn state(&self) -> TensorState {
        TensorState::default()
    }

    /// Takes back what [`GradientAggregator::state`] gave; tensors are copied.
    ///
    /// # Errors
    /// [`Error::State`](crate::Error::State); then nothing has changed.
    fn restore(&mut self, state: &TensorState) -> Result<()> {
        state.only(&[])
    }
}

/// What becomes of the batch in the gradients by a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureGradients {
    /// Every image has numbers of its own, as in the paper.
    #[default]
    Flatten,
    /// The images' gradients are added up, as in LibMTL.
    Sum,
}
