//! What every loss of one task is.

use polyptych_registry::DynPart;
use polyptych_tensor::Tensor;

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
}
