//! Which samples stand in which batch.

use rand::seq::SliceRandom;

use super::LoaderConfig;
use crate::Key;

/// Indices of every batch of an epoch; each index stands in exactly one (or, with `drop_last`, at
/// most one).
pub(crate) fn batches(len: usize, config: &LoaderConfig, epoch: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..len).collect();
    if config.shuffle {
        // No sample has this index, so the order's draws are its own.
        let key = Key { seed: config.seed, epoch, index: u64::MAX };
        order.shuffle(&mut key.rng());
    }
    let whole = count(len, config);
    order.chunks(config.batch_size).take(whole).map(<[usize]>::to_vec).collect()
}

/// Number of batches of an epoch.
pub(crate) fn count(len: usize, config: &LoaderConfig) -> usize {
    if config.drop_last { len / config.batch_size } else { len.div_ceil(config.batch_size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shuffle: bool, drop_last: bool) -> LoaderConfig {
        LoaderConfig { shuffle, drop_last, ..LoaderConfig::evaluation(4, [8, 8]) }
    }

    #[test]
    fn every_index_stands_once() {
        for shuffle in [false, true] {
            let mut all: Vec<usize> = batches(11, &config(shuffle, false), 3).concat();
            assert_eq!(all == (0..11).collect::<Vec<_>>(), !shuffle);
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let first = batches(50, &config(true, false), 0);
        assert_eq!(first, batches(50, &config(true, false), 0));
        assert_ne!(first, batches(50, &config(true, false), 1));
        assert_ne!(first, batches(50, &LoaderConfig { seed: 1, ..config(true, false) }, 0));
    }

    #[test]
    fn the_last_batch_is_kept_or_dropped() {
        let sizes = |c: LoaderConfig| batches(11, &c, 0).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(config(true, false)), [4, 4, 3]);
        assert_eq!(sizes(config(true, true)), [4, 4]);
        assert_eq!(count(11, &config(true, false)), 3);
    }
}
