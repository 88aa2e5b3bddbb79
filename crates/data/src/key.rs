//! Random numbers that depend on what is drawn, never on who draws it or when.

use rand_pcg::Pcg64;

/// Names one use of one sample: the same key gives the same draws on every thread and machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Seed of the run.
    pub seed: u64,
    /// Pass over the data, from 0.
    pub epoch: u64,
    /// Index of the sample in its data set.
    pub index: u64,
}

impl Key {
    /// A generator that is this key's own.
    pub(crate) fn rng(self) -> Pcg64 {
        let mixed = scramble(scramble(self.seed) ^ self.epoch);
        let state = (u128::from(mixed) << 64) | u128::from(scramble(mixed ^ self.index));
        Pcg64::new(state, u128::from(self.index))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): neighbouring keys become unrelated states.
pub fn scramble(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::Rng;

    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_draws() {
        let draws: BTreeSet<u64> = (0..4)
            .flat_map(|seed| (0..4).flat_map(move |epoch| (0..4).map(move |i| (seed, epoch, i))))
            .map(|(seed, epoch, index)| Key { seed, epoch, index }.rng().random())
            .collect();
        assert_eq!(draws.len(), 64);
    }
}
