//! Numbers that are spread well although what they come from lies close together.
//!
//! SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a counter in large steps, and a function that
//! lets every bit that comes out depend on every bit that goes in.

/// The counter's step: 2^64 over the golden ratio, made odd.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's number behind the state `value`: neighbours become unrelated.
pub fn scramble(value: u64) -> u64 {
    finish(value.wrapping_add(STRIDE))
}

/// The seed of LibTorch's generator for one `step` of a run with `seed`.
pub fn seed_of_step(seed: u64, step: u64) -> i64 {
    finish(seed ^ step.wrapping_mul(STRIDE)) as i64
}

fn finish(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The first numbers that the reference implementation gives for seed 1234567.
    #[test]
    fn numbers_are_those_of_splitmix64() {
        let states = (0..3u64).map(|index| STRIDE.wrapping_mul(index).wrapping_add(1_234_567));
        let expected = [6457827717110365317, 3203168211198807973, 9817491932198370423];
        assert_eq!(states.map(scramble).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_step_has_its_own_seed() {
        let pairs = (0..4).flat_map(|seed| (0..100).map(move |step| seed_of_step(seed, step)));
        assert_eq!(pairs.collect::<BTreeSet<i64>>().len(), 400);
    }
}
