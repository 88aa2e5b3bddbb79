//! Random numbers that depend on the step, never on what was drawn before.

use polyptych_tensor::scramble;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

/// Names one step of one run: the same key gives the same draws, also after a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed {
    /// Seed of the run.
    pub seed: u64,
    /// Optimiser steps done before this one.
    pub step: u64,
}

impl StepSeed {
    /// A generator of this key and balancer alone: `purpose` keeps two of them apart.
    pub(crate) fn rng(self, purpose: u64) -> Pcg64 {
        let mixed = scramble(scramble(self.seed ^ 0x6261_6c61_6e63_6572) ^ purpose);
        let state = (u128::from(mixed) << 64) | u128::from(scramble(mixed ^ self.step));
        Pcg64::new(state, u128::from(self.step))
    }

    /// `count` standard normal numbers (Box and Muller).
    pub(crate) fn normals(self, purpose: u64, count: usize) -> Vec<f64> {
        let mut rng = self.rng(purpose);
        (0..count)
            .map(|_| {
                // In (0, 1], so that the logarithm is finite.
                let radius = 1.0 - rng.random::<f64>();
                let angle = std::f64::consts::TAU * rng.random::<f64>();
                (-2.0 * radius.ln()).sqrt() * angle.cos()
            })
            .collect()
    }

    /// `count` indices below `count`, each once, in random order.
    pub(crate) fn order(rng: &mut Pcg64, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(rng);
        order
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_draws() {
        let draws: BTreeSet<u64> = (0..4)
            .flat_map(|seed| (0..4).map(move |step| StepSeed { seed, step }))
            .flat_map(|key| (0..4).map(move |purpose| key.rng(purpose).random()))
            .collect();
        assert_eq!(draws.len(), 64);
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let z = StepSeed { seed: 1, step: 0 }.normals(0, 20_000);
        let mean = z.iter().sum::<f64>() / 2e4;
        let variance = z.iter().map(|z| z * z).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn every_order_comes_equally_often() {
        let mut rng = StepSeed { seed: 1, step: 0 }.rng(0);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(StepSeed::order(&mut rng, 3)).or_insert(0) += 1;
        }
        assert!(counts.len() == 6 && counts.values().all(|n| (850..1150).contains(n)));
    }
}
