//! Gradients of a backward pass as those of all ranks: sums in flat buckets, each sent as soon as its
//! gradients are there, as in PyTorch's DDP (Li et al., PyTorch Distributed, VLDB 2020).

use std::ops::RangeInclusive;
use std::sync::Arc;

use polyptych_tensor::Tensor;

use crate::buckets::bytes;
use crate::group::Group;
use crate::{Error, Result};

/// Buckets that all gradients are shared out among: the first can be sent when an eighth of the
/// pass is done.
const BUCKETS: usize = 8;

/// Bytes of a bucket: below, an operation costs its round trips; the upper end is that of PyTorch's
/// DDP.
const BUCKET_BYTES: RangeInclusive<usize> = (1 << 20)..=(25 << 20);

/// Buckets for the gradients of the parameters that train.
#[derive(Debug)]
pub struct GradientBuckets {
    group: Arc<Group>,
    buckets: polyptych_kernels::GradientBuckets,
}

impl GradientBuckets {
    /// Buckets for the gradients of `params`, which stand in the order of a forward pass.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn new(group: Arc<Group>, params: &[&Tensor]) -> Result<Self> {
        let backward: Vec<&Tensor> = params.iter().rev().copied().collect();
        let all = params.iter().map(|param| bytes(param)).sum();
        let buckets = polyptych_kernels::GradientBuckets::new(&backward, bucket_bytes(all))?;
        Ok(Self { group, buckets })
    }

    /// Does `backward`, the last backward pass of a step, and makes the gradients the sums of those
    /// of all ranks. A gradient that no rank has stays undefined.
    ///
    /// The sums are views of the buckets: the next pass overwrites them.
    ///
    /// # Errors
    /// What `backward` reports; a rank that is gone, late or failed.
    pub fn around<T, E: From<Error>>(
        &self,
        backward: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.group.sum_around(&self.buckets, backward)
    }
}

/// The size of buckets for `all` bytes.
fn bucket_bytes(all: usize) -> usize {
    (all / BUCKETS).clamp(*BUCKET_BYTES.start(), *BUCKET_BYTES.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_neither_tiny_nor_huge() {
        let found = [3 << 20, 80 << 20, 400 << 20].map(bucket_bytes);
        assert_eq!(found, [1 << 20, 10 << 20, 25 << 20]);
    }
}
