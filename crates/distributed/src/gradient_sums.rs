//! Sums of gradients over all ranks, which go on while a backward pass does.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use polyptych_kernels::{GradientBuckets, GradientGroup, NcclGroup};
use polyptych_tensor::Device;

use crate::group::{Group, reason};
use crate::{Environment, Error, Result};

impl Group {
    /// From now on sums gradients over NCCL, between the GPUs `device` of the ranks.
    ///
    /// # Errors
    /// Another device; a system without NCCL, or what it reports.
    pub(crate) fn sum_over_nccl(&self, device: Device) -> Result<()> {
        let Device::Cuda(index) = device else {
            return Err(Error::NotOnGpu { found: format!("{device:?}").to_lowercase() });
        };
        let Environment { rank, world_size, .. } = self.environment;
        let number = self.communicators.fetch_add(1, Ordering::Relaxed);
        let key = format!("nccl/{number}");
        // Every rank asks, so that one without NCCL says so itself.
        let own = NcclGroup::unique_id()?;
        if rank == 0 {
            self.store.set(&key, &own)?;
        }
        let id = self.store.get(&key, self.timeout)?;
        let (rank, size) = (rank as i32, world_size as i32);
        let met = NcclGroup::new(&id, rank, size, index as i32, self.timeout)?;
        let mut gradients = self.gradients.lock().unwrap_or_else(PoisonError::into_inner);
        *gradients = Some(GradientGroup::Nccl(met));
        Ok(())
    }

    /// Does `backward` with `buckets`, whose gradients become the sums over all ranks. What it takes
    /// until the sums are there, behind the pass, is time of the traffic.
    ///
    /// # Errors
    /// What `backward` reports; as [`Group::all_reduce`].
    pub(crate) fn sum_around<T, E: From<Error>>(
        &self,
        buckets: &GradientBuckets,
        backward: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        const OP: &str = "all_reduce";
        self.refuse_without_starter()?;
        let mut group = self.gradients.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &*group else { return Err(Error::Parted { op: OP }.into()) };
        let mut behind = Instant::now();
        let timed = || {
            let done = backward();
            behind = Instant::now();
            done
        };
        let error = match buckets.around(open, timed) {
            Ok(Ok((done, bytes))) => {
                self.count(bytes, behind.elapsed());
                return Ok(done);
            }
            Ok(Err(error)) => {
                // Others wait for the buckets that this rank will not send.
                drop(group.take());
                return Err(error);
            }
            Err(error) => error,
        };
        drop(group.take());
        drop(group);
        self.part();
        Err(self.roll_call().find(OP, self.timeout, reason(&error)).into())
    }
}
