//! Processes that compute together: c10d's store of keys, and its process group over Gloo.

use std::fmt;
use std::time::Duration;

use cxx::UniquePtr;
use tch::Tensor;

use crate::bridge::{at, ffi, optional_output};
use crate::error::{Result, torch};

/// Keys and values that all processes see: c10d's `TCPStore`.
pub struct KeyStore {
    store: UniquePtr<ffi::KeyStore>,
}

/// How the numbers of all ranks become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// Processes that call the same functions in the same order: c10d's `ProcessGroupGloo`.
///
/// Every function waits until the ranks that it needs have called it, and takes contiguous tensors
/// of the CPU.
pub struct ProcessGroup {
    group: UniquePtr<ffi::ProcessGroup>,
}

impl KeyStore {
    /// Keeps a store for others on `port`, or on a free one where that is 0.
    ///
    /// # Errors
    /// A port that is taken.
    pub fn serve(host: &str, port: u16, prefix: &str, timeout: Duration) -> Result<Self> {
        Self::open(host, port, true, prefix, [timeout; 2])
    }

    /// Connects to the store on `port` of `host`; `prefix` stands before all keys, and `timeout` is
    /// that of what is asked later.
    ///
    /// # Errors
    /// Nothing that answers within `patience`.
    pub fn connect(
        host: &str,
        port: u16,
        prefix: &str,
        patience: Duration,
        timeout: Duration,
    ) -> Result<Self> {
        Self::open(host, port, false, prefix, [patience, timeout])
    }

    fn open(
        host: &str,
        port: u16,
        serve: bool,
        prefix: &str,
        [patience, timeout]: [Duration; 2],
    ) -> Result<Self> {
        let (patience, timeout) = (millis(patience), millis(timeout));
        let opened = ffi::open_key_store(host, port, serve, prefix, patience, timeout);
        Ok(Self { store: opened.map_err(torch("TCPStore"))? })
    }

    /// The port that it is kept on.
    pub fn port(&self) -> u16 {
        self.store.port()
    }

    /// Gives `key` a value.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.store.set(key, value).map_err(torch("TCPStore.set"))
    }

    /// The value of `key`, which is waited for.
    ///
    /// # Errors
    /// A store that is gone, or no such key within `timeout`.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Vec<u8>> {
        self.store.get(key, millis(timeout)).map_err(torch("TCPStore.get"))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn has(&self, key: &str) -> Result<bool> {
        self.store.has(key).map_err(torch("TCPStore.check"))
    }

    /// Adds to the count of `key`, which begins with 0; what it is now.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        self.store.add(key, amount).map_err(torch("TCPStore.add"))
    }
}

impl ProcessGroup {
    /// Meets the other `size - 1` ranks at `store`.
    ///
    /// `interfaces`: names of network interfaces, parted by commas; empty for the one that the
    /// machine's name leads to.
    ///
    /// # Errors
    /// Ranks that do not come within `timeout`, which is that of every later operation too.
    pub fn new(
        store: &KeyStore,
        rank: i32,
        size: i32,
        interfaces: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let timeout = millis(timeout);
        let opened = ffi::open_process_group(&store.store, rank, size, interfaces, timeout);
        Ok(Self { group: opened.map_err(torch("ProcessGroupGloo"))? })
    }

    /// Combines the numbers of `tensor` over all ranks, in place. All get the same bits.
    ///
    /// # Errors
    /// A rank that is gone or late; a tensor that is not contiguous or not of the CPU.
    pub fn all_reduce(&self, tensor: &Tensor, op: ReduceOp) -> Result<()> {
        let op = match op {
            ReduceOp::Sum => 0,
            ReduceOp::Min => 1,
            ReduceOp::Max => 2,
        };
        self.group.all_reduce(at(tensor), op).map_err(torch("all_reduce"))
    }

    /// Gives all ranks the numbers of `root`, in place.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    pub fn broadcast(&self, tensor: &Tensor, root: i32) -> Result<()> {
        self.group.broadcast(at(tensor), root).map_err(torch("broadcast"))
    }

    /// Fills `all`, `[ranks, ..]`, with `own` of every rank, which have the same shape.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    pub fn all_gather(&self, all: &Tensor, own: &Tensor) -> Result<()> {
        self.group.all_gather(at(all), at(own)).map_err(torch("all_gather"))
    }

    /// The sum of `tensor` over all ranks. Its backward pass is one more operation of all ranks,
    /// which sums their gradients.
    ///
    /// # Errors
    /// As [`ProcessGroup::all_reduce`].
    pub fn differentiable_sum(&self, tensor: &Tensor) -> Result<Tensor> {
        let sum = self.group.differentiable_sum(at(tensor)).map_err(torch("all_reduce"))?;
        Ok(optional_output(sum).unwrap_or_default())
    }

    /// The group of the bridge, for sums.
    pub(crate) fn ffi(&self) -> &ffi::SumGroup {
        ffi::as_sum_group(&self.group)
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// A rank that is gone or late.
    pub fn barrier(&self) -> Result<()> {
        self.group.barrier().map_err(torch("barrier"))
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("port", &self.port()).finish()
    }
}

impl fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessGroup").finish_non_exhaustive()
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
