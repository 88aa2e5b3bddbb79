//! What processes have said to each other.

use std::time::Duration;

/// Bytes and time of operations of the group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Operations.
    pub calls: u64,
    /// Bytes of the tensors that were given to them. On the wire a ring of `n` ranks sends
    /// `2 (n - 1) / n` times as many, from each rank.
    pub bytes: u64,
    /// Time in them, with waiting for other ranks.
    pub time: Duration,
}

impl Traffic {
    /// Counts one more operation.
    pub(crate) fn add(&mut self, bytes: u64, time: Duration) {
        self.calls += 1;
        self.bytes += bytes;
        self.time += time;
    }

    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            bytes: self.bytes - earlier.bytes,
            time: self.time - earlier.time,
        }
    }
}
