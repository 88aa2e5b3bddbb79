//! Who is missing? Ranks that end leave a word in the store; those that leave none are gone.

use std::time::{Duration, Instant};

use polyptych_kernels::KeyStore;

use crate::{Error, heartbeat};

/// How long a rank waits for the word of others before it calls them gone.
const GRACE: Duration = Duration::from_secs(5);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What a rank says that met an error of an operation, not one of its own.
const MET: &[u8] = b"";

/// One rank among those of the store.
#[derive(Debug)]
pub(crate) struct RollCall<'a> {
    pub(crate) store: &'a KeyStore,
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// Whether this process keeps the store, which it must not take away from others too soon.
    pub(crate) keeps_store: bool,
}

impl RollCall<'_> {
    /// Leaves the reason why this rank ends.
    pub(crate) fn fail(&self, reason: &str) {
        // There is nobody left to tell where the store is gone.
        if !self.store.has(&key(self.rank)).unwrap_or(true) {
            let _ = self.store.set(&key(self.rank), reason.as_bytes());
        }
        if self.keeps_store {
            self.wait(|| false);
        }
    }

    /// Who is to blame for an operation that did not end.
    pub(crate) fn find(&self, op: &'static str, limit: Duration, reason: String) -> Error {
        let seconds = limit.as_secs();
        let gone = |ranks: String| Error::Gone { ranks, seconds, op, reason: reason.clone() };
        let said = self.store.has(&key(self.rank));
        let said = said
            .and_then(|known| if known { Ok(()) } else { self.store.set(&key(self.rank), MET) });
        if said.is_err() {
            return gone("rank 0, which keeps the store, is".into());
        }
        let before = self.beats();
        self.wait(|| !self.keeps_store && self.failed().is_some());
        if let Some((rank, reason)) = self.failed() {
            return Error::Failed { rank, reason };
        }
        let missing = self.missing();
        // A rank that still lives may be busy with its step, and has not met the error yet.
        let after = self.beats();
        let dead = |rank: &&usize| before[**rank] == after[**rank];
        let dead: Vec<usize> = missing.iter().filter(dead).copied().collect();
        gone(names(if dead.is_empty() { &missing } else { &dead }))
    }

    /// Waits until all ranks have left a word or `enough`, for no longer than [`GRACE`].
    fn wait(&self, enough: impl Fn() -> bool) {
        let start = Instant::now();
        while !self.missing().is_empty() && !enough() && start.elapsed() < GRACE {
            std::thread::sleep(PAUSE);
        }
    }

    fn missing(&self) -> Vec<usize> {
        self.others().filter(|&rank| !self.store.has(&key(rank)).unwrap_or(false)).collect()
    }

    fn beats(&self) -> Vec<Option<i64>> {
        (0..self.size).map(|rank| heartbeat::count(self.store, rank)).collect()
    }

    /// The first rank that gave a reason of its own.
    fn failed(&self) -> Option<(usize, String)> {
        self.others().find_map(|rank| {
            let known = self.store.has(&key(rank)).unwrap_or(false);
            let said = known.then(|| self.store.get(&key(rank), GRACE).ok()).flatten()?;
            (said != MET).then(|| (rank, String::from_utf8_lossy(&said).into_owned()))
        })
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        let own = self.rank;
        (0..self.size).filter(move |&rank| rank != own)
    }
}

fn key(rank: usize) -> String {
    format!("end/{rank}")
}

/// `rank 1 is` or `ranks 1, 2 are`.
fn names(ranks: &[usize]) -> String {
    let all: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match ranks {
        [] => "a connection is".into(),
        [one] => format!("rank {one} is"),
        _ => format!("ranks {} are", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_named() {
        let found = [names(&[]), names(&[2]), names(&[0, 2])];
        assert_eq!(found, ["a connection is", "rank 2 is", "ranks 0, 2 are"]);
    }
}
