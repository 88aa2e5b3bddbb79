//! What every loss of one task is.

use polyptych_registry::DynPart;
use polyptych_tensor::{Kind, Tensor};

use crate::Result;

/// The loss of one task over one batch.
///
/// Both numbers stay on the device: reading them is the caller's choice, since it waits for the
/// device.
#[derive(Debug)]
pub struct LossValue {
    /// float32 scalar; exactly 0, with zero gradients, where nothing is labelled.
    pub loss: Tensor,
    /// int64 scalar: how many elements of the target are labelled.
    pub labelled: Tensor,
}

/// How wrong one task is: the settings of a loss, and all that is special about it.
pub trait TaskLoss: DynPart {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) names the field, its range and what it is.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Whether it compares maps alone, or whole images alone; none where it does both.
    fn is_dense(&self) -> Option<bool> {
        None
    }

    /// Whether it compares the images of a batch with each other, so that a part of a batch has no
    /// share in the loss of the whole.
    fn compares_images(&self) -> bool {
        false
    }

    /// Compares raw outputs with a target, over all labelled elements of the batch.
    ///
    /// # Shapes
    /// `prediction` is `[batch, outputs, height, width]`, or `[batch, outputs]` for a task of
    /// whole images, of any floating type; the arithmetic is float32. `target` is
    /// `[batch, channels, height, width]`, NaN where there is no label; height and width are
    /// the prediction's, or 1 for whole images, where both axes may be absent.
    ///
    /// # Errors
    /// Shapes or devices that do not fit each other.
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue>;

    /// What [`TaskLoss::share`] must know of the labels of a whole batch: sums over elements, so
    /// that those of its parts add up. The first is the number of labelled elements. It reads the
    /// result, so it is meant for labels on the CPU.
    fn label_sums(&self, target: &Tensor) -> Vec<f64> {
        vec![labelled_of(target)]
    }

    /// The share of one part in the loss of a batch; `own` are the [`TaskLoss::label_sums`] of the
    /// part, `all` those of the batch: the shares of all parts add up to [`TaskLoss::forward`] of
    /// the whole. `labelled` is the number of the whole.
    ///
    /// By default for a mean over labelled elements. A loss that divides by something else, or
    /// whose terms depend on the whole batch, has its own.
    ///
    /// # Errors
    /// As [`TaskLoss::forward`].
    fn share(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        own: &[f64],
        all: &[f64],
    ) -> Result<LossValue> {
        Ok(self.forward(prediction, target)?.scaled(own[0], all))
    }
}

impl LossValue {
    /// A mean over a part that counts as `own`, in a mean over all that counts as the first of
    /// `all`.
    fn scaled(self, own: f64, all: &[f64]) -> Self {
        self.times(if all[0] > 0.0 { own / all[0] } else { 0.0 }, all)
    }

    /// The loss of a part times `factor`, in a batch with `all[0]` labelled elements.
    pub(crate) fn times(self, factor: f64, all: &[f64]) -> Self {
        Self { loss: self.loss * factor, labelled: Tensor::from(all[0] as i64) }
    }
}

/// Number of labelled elements of `target`.
pub(crate) fn labelled_of(target: &Tensor) -> f64 {
    target.isnan().logical_not().sum(Kind::Int64).int64_value(&[]) as f64
}
