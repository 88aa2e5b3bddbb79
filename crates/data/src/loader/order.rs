//! Which samples stand in which batch.

use std::ops::Range;

use rand::seq::SliceRandom;

use super::{LoaderConfig, Sampling, shards};
use crate::Key;

/// Indices of every batch of an epoch over data sets, or shards, of these lengths, one after the
/// other.
///
/// Each index stands in exactly one batch (or, with `drop_last`, at most one), but for sampling
/// per data set.
pub(crate) fn batches(parts: &[usize], config: &LoaderConfig, epoch: u64) -> Vec<Vec<usize>> {
    let len = parts.iter().sum();
    let order = match (config.shuffle, config.sampling) {
        (false, _) => (0..len).collect(),
        (true, Sampling::Union) => shuffled(0..len, config.seed, epoch, 0),
        (true, Sampling::Shards) => shards::order(parts, config, epoch),
        (true, Sampling::PerDataset) => round_robin(parts, len, config.seed, epoch),
    };
    let whole = count(len, config);
    order.chunks(config.batch_size).take(whole).map(<[usize]>::to_vec).collect()
}

/// `range` in an order of its own for every seed, epoch and pass.
fn shuffled(range: Range<usize>, seed: u64, epoch: u64, pass: u64) -> Vec<usize> {
    let mut order: Vec<usize> = range.collect();
    // No sample has these indices, so the order's draws are its own.
    let key = Key { seed, epoch, index: u64::MAX - pass };
    order.shuffle(&mut key.rng());
    order
}

/// One sample of each data set, round-robin; one that is used up begins anew in another order.
fn round_robin(parts: &[usize], len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let ends = parts.iter().scan(0, |end, &part| {
        *end += part;
        Some(*end)
    });
    let ranges = ends.zip(parts).map(|(end, &part)| end - part..end);
    let endless = |range: Range<usize>| {
        (0..).flat_map(move |pass| shuffled(range.clone(), seed, epoch, pass))
    };
    let mut streams: Vec<_> = ranges.filter(|range| !range.is_empty()).map(endless).collect();
    let count = streams.len();
    (0..len).filter_map(|turn| streams[turn % count].next()).collect()
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
            let mut all: Vec<usize> = batches(&[11], &config(shuffle, false), 3).concat();
            assert_eq!(all == (0..11).collect::<Vec<_>>(), !shuffle);
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let first = batches(&[50], &config(true, false), 0);
        assert_eq!(first, batches(&[50], &config(true, false), 0));
        assert_ne!(first, batches(&[50], &config(true, false), 1));
        assert_ne!(first, batches(&[50], &LoaderConfig { seed: 1, ..config(true, false) }, 0));
    }

    #[test]
    fn the_last_batch_is_kept_or_dropped() {
        let sizes =
            |c: LoaderConfig| batches(&[11], &c, 0).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(config(true, false)), [4, 4, 3]);
        assert_eq!(sizes(config(true, true)), [4, 4]);
        assert_eq!(count(11, &config(true, false)), 3);
    }

    #[test]
    fn data_sets_come_round_robin_whatever_their_size() {
        let config = LoaderConfig { sampling: Sampling::PerDataset, ..config(true, false) };
        let order = batches(&[2, 0, 30, 4], &config, 5).concat();
        assert_eq!(order.len(), 36);
        let of = |range: Range<usize>| order.iter().filter(|i| range.contains(i)).count();
        assert_eq!([of(0..2), of(2..32), of(32..36)], [12; 3]);
        for turn in order.chunks(6) {
            let mut small: Vec<usize> = turn.iter().copied().filter(|i| *i < 2).collect();
            small.sort_unstable();
            assert_eq!(small, [0, 1], "every pass draws each sample once");
        }
        let large: std::collections::BTreeSet<_> =
            order.iter().filter(|i| (2..32).contains(*i)).collect();
        assert_eq!(large.len(), 12, "a part of a large data set, no sample twice");
        assert_ne!(order, batches(&[2, 0, 30, 4], &config, 6).concat());
    }
}
