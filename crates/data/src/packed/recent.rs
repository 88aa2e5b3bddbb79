//! The samples that were fetched last: their parts are asked for one by one.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

/// Most samples, more than loaders have threads.
const MOST: usize = 64;
/// Most bytes of several samples.
const MOST_BYTES: usize = 64 << 20;

/// Samples by their numbers.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>);

impl Recent {
    pub(super) fn get(&self, sample: usize) -> Option<Arc<Vec<u8>>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(number, _)| *number == sample).map(|(_, bytes)| Arc::clone(bytes))
    }

    /// Holds a sample, and drops the oldest ones beyond the bounds.
    pub(super) fn put(&self, sample: usize, bytes: Arc<Vec<u8>>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.push_back((sample, bytes));
        let all = |held: &VecDeque<(usize, Arc<Vec<u8>>)>| -> usize {
            held.iter().map(|(_, bytes)| bytes.len()).sum()
        };
        while held.len() > MOST || (held.len() > 1 && all(&held) > MOST_BYTES) {
            held.pop_front();
        }
    }
}

impl Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_samples_are_held_within_bounds() {
        let recent = Recent::default();
        let bytes = |length| Arc::new(vec![0; length]);
        (0..=MOST).for_each(|sample| recent.put(sample, bytes(1)));
        assert!(recent.get(0).is_none() && recent.get(1).is_some());
        recent.put(900, bytes(MOST_BYTES));
        assert!(recent.get(MOST).is_none() && recent.get(900).is_some());
        recent.put(901, bytes(MOST_BYTES + 1));
        assert!(recent.get(900).is_none() && recent.get(901).is_some());
    }
}
