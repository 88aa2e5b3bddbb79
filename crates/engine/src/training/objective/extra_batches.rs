//! Batches beside those of the steps, for methods that judge by independent ones.

use polyptych_data::{Batch, Epoch, Loader};

use crate::Result;

/// The training samples in an order of their own: one batch for every step.
pub(super) struct ExtraBatches {
    loader: Loader,
    batches: Option<Epoch>,
    /// The step whose batch they give next.
    next: u64,
}

impl ExtraBatches {
    /// The samples of `train` in the `index`-th extra order.
    pub(super) fn new(train: &Loader, index: u64) -> Self {
        let seed = train.config().seed ^ (index + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
        Self { loader: train.reseeded(seed), batches: None, next: 0 }
    }

    /// The batch of `step`.
    ///
    /// # Errors
    /// A sample that cannot be read.
    pub(super) fn at(&mut self, step: u64) -> Result<Batch> {
        if self.batches.is_none() || step != self.next {
            let per_epoch = self.loader.num_batches() as u64;
            let (epoch, first) = (step / per_epoch, step % per_epoch);
            self.batches = Some(self.loader.epochs(epoch, first as usize, u64::MAX)?);
        }
        self.next = step + 1;
        let found = self.batches.as_mut().and_then(Iterator::next);
        Ok(found.expect("epochs have all of their batches, or end with an error")?)
    }
}
