//! An order of samples by which shards are read one behind the other, few at a time.
//!
//! WebDataset shuffles shards and draws from a buffer behind them. Here the order of an epoch is
//! known before it begins, so a run goes on in the middle of a shard, and each sample comes once.

use std::ops::Range;

use rand::Rng;
use rand::seq::SliceRandom;

use super::LoaderConfig;
use crate::Key;

/// Samples of a stream that wait to be drawn, as WebDataset's examples have it.
const BUFFER: usize = 1000;

/// All indices of shards of these lengths. Place `p` of every batch of `b` is of stream
/// `floor(p s / b)` of `s`, as long as that has samples: processes that have parts of batches read
/// other shards each.
pub(super) fn order(lengths: &[usize], config: &LoaderConfig, epoch: u64) -> Vec<usize> {
    let shards = shuffled_shards(lengths, config.seed, epoch);
    let count = config.batch_size.min(shards.len()).max(1);
    let mut streams: Vec<Vec<usize>> = dealt(shards, count)
        .into_iter()
        .enumerate()
        .map(|(stream, shards)| drawn(shards, config.seed, epoch, stream as u64))
        .collect();
    // The next of each stream is its last.
    streams.iter_mut().for_each(|stream| stream.reverse());
    let len: usize = lengths.iter().sum();
    let place = |index: usize| index % config.batch_size * count / config.batch_size;
    (0..len).filter_map(|index| next(&mut streams, place(index))).collect()
}

/// Shards with samples, in an order of their own for every seed and epoch.
fn shuffled_shards(lengths: &[usize], seed: u64, epoch: u64) -> Vec<Range<usize>> {
    let starts = lengths.iter().scan(0, |end, &length| {
        *end += length;
        Some(*end - length..*end)
    });
    let mut shards: Vec<_> = starts.filter(|shard| !shard.is_empty()).collect();
    // No sample has this index, so the order's draws are its own.
    shards.shuffle(&mut Key { seed, epoch, index: u64::MAX }.rng());
    shards
}

/// Each shard for the stream that has fewest samples.
fn dealt(shards: Vec<Range<usize>>, count: usize) -> Vec<Vec<Range<usize>>> {
    let mut streams = vec![(0, Vec::new()); count];
    for shard in shards {
        if let Some((samples, stream)) = streams.iter_mut().min_by_key(|(samples, _)| *samples) {
            *samples += shard.len();
            stream.push(shard);
        }
    }
    streams.into_iter().map(|(_, shards)| shards).collect()
}

/// The samples of `shards`, each drawn from a buffer of the next ones.
fn drawn(shards: Vec<Range<usize>>, seed: u64, epoch: u64, stream: u64) -> Vec<usize> {
    let mut rng = Key { seed, epoch, index: u64::MAX - 1 - stream }.rng();
    let mut rest = shards.into_iter().flatten();
    let mut buffer: Vec<usize> = rest.by_ref().take(BUFFER).collect();
    let mut order = Vec::new();
    while !buffer.is_empty() {
        let place = rng.random_range(0..buffer.len());
        order.push(buffer.swap_remove(place));
        buffer.extend(rest.next());
    }
    order
}

/// The next sample of stream `own`, or of the one that has most left where it has none.
fn next(streams: &mut [Vec<usize>], own: usize) -> Option<usize> {
    if let Some(index) = streams[own].pop() {
        return Some(index);
    }
    streams.iter_mut().max_by_key(|stream| stream.len())?.pop()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn config(batch_size: usize) -> LoaderConfig {
        LoaderConfig { shuffle: true, ..LoaderConfig::evaluation(batch_size, [8, 8]) }
    }

    #[test]
    fn every_sample_comes_once() {
        for lengths in [&[5, 0, 30, 4][..], &[1], &[3000, 2500, 10], &[2; 40]] {
            let found = order(lengths, &config(8), 2);
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..lengths.iter().sum()).collect::<Vec<_>>());
            assert_eq!(found, order(lengths, &config(8), 2));
            assert!(found.len() == 1 || found != order(lengths, &config(8), 3));
        }
    }

    /// Two processes read other shards each, as long as streams are as long as each other.
    #[test]
    fn parts_of_batches_are_of_shards_of_their_own() {
        let found = order(&[50; 8], &config(4), 0);
        let shards = |part: Range<usize>| -> BTreeSet<usize> {
            let batches = found.chunks(4);
            batches.flat_map(|batch| batch[part.clone()].iter().map(|index| index / 50)).collect()
        };
        let (first, second) = (shards(0..2), shards(2..4));
        assert_eq!((first.len(), second.len()), (4, 4));
        assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    }

    #[test]
    fn shards_are_read_one_behind_the_other() {
        let found = order(&[BUFFER; 6], &config(1), 0);
        for drawn in (BUFFER / 2..=6 * BUFFER).step_by(BUFFER / 2) {
            let seen: BTreeSet<_> = found[..drawn].iter().map(|index| index / BUFFER).collect();
            // What was drawn, and what waits in the buffer.
            let open = (drawn + BUFFER).div_ceil(BUFFER);
            assert!(seen.len() <= open, "{drawn}: {seen:?}");
        }
    }
}
