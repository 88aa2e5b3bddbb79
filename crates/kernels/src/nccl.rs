//! Sums over the GPUs of several processes by NCCL, which is opened when it is asked for.

use std::fmt;
use std::time::Duration;

use cxx::UniquePtr;

use crate::bridge::ffi;
use crate::error::{Result, torch};
use crate::process_group::millis;

/// A communicator of NCCL, which sums gradients on GPUs.
pub struct NcclGroup {
    group: UniquePtr<ffi::SumGroup>,
}

impl NcclGroup {
    /// The bytes by which the ranks of a group find each other; one rank makes them for all.
    ///
    /// # Errors
    /// A system without NCCL's library, `libnccl.so.2`.
    pub fn unique_id() -> Result<Vec<u8>> {
        ffi::nccl_unique_id().map_err(torch("NCCL"))
    }

    /// Meets the other `size - 1` ranks by `unique_id`; `device` is the number of this rank's GPU.
    ///
    /// # Errors
    /// What NCCL reports; LibTorch's GPU part must be open. `timeout` is that of every sum.
    pub fn new(
        unique_id: &[u8],
        rank: i32,
        size: i32,
        device: i32,
        timeout: Duration,
    ) -> Result<Self> {
        let opened = ffi::open_nccl(unique_id, rank, size, device, millis(timeout));
        Ok(Self { group: opened.map_err(torch("NCCL"))? })
    }

    /// The group of the bridge.
    pub(crate) fn ffi(&self) -> &ffi::SumGroup {
        &self.group
    }
}

impl fmt::Debug for NcclGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NcclGroup").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_system_without_nccl_says_so_in_one_line() {
        let Err(error) = NcclGroup::unique_id() else { return };
        let message = error.to_string();
        assert!(message.starts_with("NCCL: ") && !message.contains('\n'), "{message}");
    }
}
