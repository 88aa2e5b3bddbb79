//! What the page shows.

use super::client::Tally;

/// Rounds of a comparison.
pub(super) const ROUNDS: u32 = 3;

/// One row of the page.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) clients: usize,
    pub(super) tally: Tally,
    /// Bytes in memory behind the warm-up and each quarter of the time; none where it was killed.
    pub(super) memory: Vec<u64>,
}

/// Largest growth of memory from the first quarter to the last that is called flat.
pub(super) const FLAT: f64 = 1.05;

impl Row {
    /// Memory at the end over that behind the first quarter, when every buffer has been needed.
    pub(super) fn growth(&self) -> Option<f64> {
        let (first, last) = (*self.memory.get(1)?, *self.memory.last()?);
        Some(last as f64 / first as f64)
    }
}

/// One server of a comparison: requests per second in each round, asked for all tasks and for one.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) name: &'static str,
    pub(super) all: Vec<Tally>,
    pub(super) one: Vec<Tally>,
}
