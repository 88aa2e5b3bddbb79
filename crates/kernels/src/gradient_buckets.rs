//! Gradients in flat buckets, which are summed over all ranks while the backward pass goes on.

use std::fmt;

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::{all, ffi};
use crate::error::{Result, torch};
use crate::nccl::NcclGroup;
use crate::process_group::ProcessGroup;

/// Flat buckets of the gradients of some parameters.
///
/// A bucket is sent once all of its gradients are there, and behind the buckets before it, so all
/// ranks send them in one order.
pub struct GradientBuckets {
    buckets: UniquePtr<ffi::GradientBuckets>,
}

/// What gradients are summed over.
#[derive(Debug)]
pub enum GradientGroup {
    /// Gloo; tensors of GPUs go through the memory of the CPU.
    Gloo(ProcessGroup),
    /// NCCL, for tensors of one GPU.
    Nccl(NcclGroup),
}

impl GradientGroup {
    fn ffi(&self) -> &ffi::SumGroup {
        match self {
            Self::Gloo(group) => group.ffi(),
            Self::Nccl(group) => group.ffi(),
        }
    }
}

impl GradientBuckets {
    /// Buckets of at most `bucket_bytes`, unless one gradient has more, for `parameters`, in the
    /// order in which a backward pass is expected to bring their gradients.
    ///
    /// All ranks have parameters of the same shapes in the same order, each in one
    /// `GradientBuckets` at a time.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub fn new(parameters: &[&Tensor], bucket_bytes: usize) -> Result<Self> {
        let bucket_bytes = i64::try_from(bucket_bytes).unwrap_or(i64::MAX);
        let opened = ffi::open_gradient_buckets(&all(parameters.iter().copied()), bucket_bytes);
        Ok(Self { buckets: opened.map_err(torch("gradient buckets"))? })
    }

    /// Does `backward`, the last backward pass of a step, and makes the gradients the sums of those
    /// of all ranks; the bytes that were sent. A gradient that no rank has stays undefined.
    ///
    /// The sums lie in the buckets: the next call overwrites them.
    ///
    /// # Errors
    /// What `backward` reports, as `Err` within; a rank that is gone or late.
    pub fn around<T, E>(
        &self,
        group: &GradientGroup,
        backward: impl FnOnce() -> std::result::Result<T, E>,
    ) -> Result<std::result::Result<(T, usize), E>> {
        self.buckets.begin(group.ffi()).map_err(torch("gradient buckets"))?;
        // A panic in `backward` must not leave the group behind.
        let open = Open(&self.buckets);
        let done = match backward() {
            Ok(done) => done,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = self.buckets.finish().map_err(torch("all_reduce"))?;
        drop(open);
        Ok(Ok((done, usize::try_from(bytes).unwrap_or(0))))
    }
}

/// Hooks that know of a group as long as this lives.
struct Open<'b>(&'b UniquePtr<ffi::GradientBuckets>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // It only forgets.
        let _ = self.0.cancel();
    }
}

impl fmt::Debug for GradientBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GradientBuckets").finish_non_exhaustive()
    }
}
