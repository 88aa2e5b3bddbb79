//! Gradients that all ranks share.

use polyptych_distributed::GradientBuckets;
use polyptych_tensor::Tensor;

use crate::{Model, Result};

impl Model {
    /// Makes it ready for backward passes whose gradients are those of all ranks; to be called once
    /// it is known what trains.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn share_gradients(&self) -> Result<()> {
        if self.gradient_buckets.get().is_some() {
            return Ok(());
        }
        let params = self.store.trainable_by_creation();
        let params: Vec<&Tensor> = params.iter().map(|(_, param)| param).collect();
        if let Some(buckets) = self.ranks.gradient_buckets(&params)? {
            let _ = self.gradient_buckets.set(buckets);
        }
        Ok(())
    }

    /// What sums gradients over all ranks; none where one process trains.
    pub(crate) fn gradient_buckets(&self) -> Option<&GradientBuckets> {
        self.gradient_buckets.get()
    }
}
