//! The three kinds of balancer.

use std::fmt::Debug;

use polyptych_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::balancers::{Batch, FeatureRows, Gram, NormsOver, RowState, State};
use crate::{Error, Result};

/// Whether equal gradients count once for each task or once in all.
///
/// Under SGD the two differ by a factor `T` in learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// `T` orthogonal rows of equal length give their sum.
    Sum,
    /// They give their mean.
    Mean,
}

impl Reduction {
    /// What the sum is multiplied by.
    pub(crate) fn factor(self, tasks: usize) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / tasks as f64,
        }
    }
}

/// What to minimise in this step: `sum_i weights_i L_i`, the weights being constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighing {
    /// One weight for each task of the batch: `d total / d L_i`.
    pub weights: Vec<f64>,
    /// The method's own objective, to log. Its value may differ from the weighted sum.
    pub total: f64,
}

/// Weighs tasks by their losses.
pub trait LossBalancer: Debug + Send {
    /// Weights of this batch. Nothing changes, so micro-batches and skipped steps may ask freely.
    ///
    /// # Errors
    /// A batch of another run, or a loss that the method has no weight for.
    fn weights(&self, batch: &Batch) -> Result<Weighing>;

    /// Moves what is learned, once after each optimiser step that was done.
    ///
    /// `batch` holds the losses of the whole step (means over its micro-batches), `new_losses`
    /// those of the same batch after the step, for methods that need them.
    ///
    /// # Errors
    /// As [`LossBalancer::weights`], or [`Error::Missing`].
    fn after_step(&mut self, _batch: &Batch, _new_losses: Option<&[f64]>) -> Result<()> {
        Ok(())
    }

    /// Whether [`LossBalancer::after_step`] needs losses computed again after the step, with the
    /// same augmentation, dropout and drop-path.
    fn needs_new_losses(&self) -> bool {
        false
    }

    /// Over which shared parameters the lengths of the tasks' gradients are measured, where
    /// [`LossBalancer::after_step`] needs them in [`Batch::with_norms`].
    fn norms_over(&self) -> Option<NormsOver> {
        None
    }

    /// The primary tasks, all if empty, where the method looks ahead: [`LossBalancer::weights`]
    /// and [`LossBalancer::after_step`] then move the weights by [`Batch::with_gains`].
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

    /// What a checkpoint must hold.
    fn state(&self) -> State {
        State::default()
    }

    /// Takes back what [`LossBalancer::state`] gave.
    ///
    /// # Errors
    /// [`Error::State`]; then nothing has changed.
    fn restore(&mut self, state: &State) -> Result<()> {
        State::default().restore(state)
    }
}

/// Weighs the tasks' gradients by their inner products: `d = sum_i weights_i g_i`.
pub trait GramCombiner: Debug + Send {
    /// Weights of the rows, once per step, after accumulation and before clipping.
    ///
    /// # Errors
    /// A matrix or batch of another size, or a loss that the method has no weight for.
    fn weights(&mut self, gram: &Gram, batch: &Batch) -> Result<Vec<f64>>;

    /// Weights of a step that needs no gradient per task, for methods that solve every few steps.
    fn reuse(&self, _batch: &Batch) -> Option<Vec<f64>> {
        None
    }

    /// Whether the Gram matrix is that of gradients by the representation that all tasks read, and
    /// what its rows are made of.
    fn features(&self) -> Option<FeatureRows> {
        None
    }

    /// Further, independent batches whose rows decide about those of the step: none, or the two of
    /// [`Gram::cross`].
    fn further_batches(&self) -> usize {
        0
    }

    /// Longest `d` that the method allows.
    fn max_norm(&self) -> Option<f64> {
        None
    }

    /// What a checkpoint must hold.
    fn state(&self) -> State {
        State::default()
    }

    /// Takes back what [`GramCombiner::state`] gave.
    ///
    /// # Errors
    /// [`Error::State`]; then nothing has changed.
    fn restore(&mut self, state: &State) -> Result<()> {
        State::default().restore(state)
    }
}

/// Combines the tasks' gradients themselves.
pub trait RowCombiner: Debug + Send {
    /// The direction `d`, `[P]`, of rows `[T, P]` on one device, once per step.
    ///
    /// # Errors
    /// Rows of another shape, [`Error::NonFinite`], or a LibTorch call that fails.
    fn direction(&mut self, rows: &Tensor, batch: &Batch) -> Result<Tensor>;

    /// What a checkpoint must hold.
    fn state(&self) -> RowState {
        RowState::default()
    }

    /// Takes back what [`RowCombiner::state`] gave; tensors are copied.
    ///
    /// # Errors
    /// [`Error::State`]; then nothing has changed.
    fn restore(&mut self, state: &RowState) -> Result<()> {
        state.only(&[])
    }
}

/// Checks one field of a configuration.
pub(crate) fn expect(holds: bool, key: &str, expected: &'static str, found: f64) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Config { key: key.to_owned(), expected, found: found.to_string() })
}

/// Checks a field that must be a finite number above 0.
pub(crate) fn expect_positive(key: &str, found: f64) -> Result<()> {
    expect(found.is_finite() && found > 0.0, key, "a finite number above 0", found)
}

/// Checks a field that must be a finite number of 0 or more.
pub(crate) fn expect_not_negative(key: &str, found: f64) -> Result<()> {
    expect(found.is_finite() && found >= 0.0, key, "a finite number of 0 or more", found)
}

/// Checks a field that must be a fraction of 1, both ends allowed.
pub(crate) fn expect_fraction(key: &str, found: f64) -> Result<()> {
    expect((0.0..=1.0).contains(&found), key, "a number from 0 to 1", found)
}

/// `exp(z) / sum exp(z)`.
pub(crate) fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
