//! Sums over a batch of which several processes have a part each.

use std::fmt::Debug;

use tch::Tensor;

use crate::Result;

/// Adds up numbers of all parts of a batch.
pub trait BatchSum: Debug + Send + Sync {
    /// The sum of `tensor` over all parts, of the same shape; its gradient is the sum of the
    /// gradients of all parts.
    ///
    /// # Errors
    /// A process that is gone.
    fn sum(&self, tensor: &Tensor) -> Result<Tensor>;
}
