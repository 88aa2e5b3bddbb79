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
    /// Bytes in memory at the start and the end, where the server is ours.
    pub(super) memory: Option<[u64; 2]>,
}

/// One server of a comparison: requests per second in each round, asked for all tasks and for one.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) name: &'static str,
    pub(super) all: Vec<Tally>,
    pub(super) one: Vec<Tally>,
}
