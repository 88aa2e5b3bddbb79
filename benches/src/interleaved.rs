//! Times several programs round by round, each once a round.

use crate::Clock;

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quartiles {
    /// A quarter of the samples lie below.
    pub low: f64,
    /// Half of them.
    pub median: f64,
    /// Three quarters of them.
    pub high: f64,
}

/// Seconds by wall clock and, where it is known, on a core: `rounds[clock][program][round]`.
#[derive(Debug, Clone)]
pub struct Rounds {
    wall: Vec<Vec<f64>>,
    core: Option<Vec<Vec<f64>>>,
}

/// Runs all `programs` once in each of `rounds`, after one round that does not count; every round
/// begins with another program.
pub fn interleaved(programs: &[&dyn Fn()], rounds: usize) -> Rounds {
    programs.iter().for_each(|program| program());
    let mut samples = [(); 2].map(|()| vec![Vec::with_capacity(rounds); programs.len()]);
    for round in 0..rounds {
        for turn in 0..programs.len() {
            let program = (round + turn) % programs.len();
            let clock = Clock::start();
            programs[program]();
            for (samples, seconds) in samples.iter_mut().zip(clock.elapsed()) {
                samples[program].extend(seconds);
            }
        }
    }
    let [wall, core] = samples;
    let known = core.iter().all(|samples| samples.len() == rounds);
    Rounds { wall, core: known.then_some(core) }
}

impl Rounds {
    /// Seconds of `program` by wall clock.
    pub fn wall_s(&self, program: usize) -> Quartiles {
        Quartiles::of(self.wall[program].clone())
    }

    /// Time of `program` over that of `base` in the same round, by wall clock and, where it is
    /// known, on a core.
    pub fn ratios(&self, program: usize, base: usize) -> (Quartiles, Option<Quartiles>) {
        let of = |samples: &Vec<Vec<f64>>| {
            let pairs = samples[program].iter().zip(&samples[base]);
            Quartiles::of(pairs.map(|(a, b)| a / b).collect())
        };
        (of(&self.wall), self.core.as_ref().map(of))
    }
}

impl Quartiles {
    /// The quartiles of at least one sample.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_round_runs_all_and_begins_with_another() {
        let order = RefCell::new(String::new());
        let say = |name: char| order.borrow_mut().push(name);
        interleaved(&[&|| say('a'), &|| say('b'), &|| say('c')], 2);
        assert_eq!(order.into_inner(), "abcabcbca");
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let wall = vec![vec![1.0, 2.0, 4.0], vec![2.0, 6.0, 4.0]];
        let rounds = Rounds { wall, core: None };
        let (ratios, core) = rounds.ratios(1, 0);
        assert_eq!((ratios.median, core), (2.0, None));
        let quartiles = Quartiles { low: 2.0, median: 3.0, high: 4.0 };
        assert_eq!(Quartiles::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]), quartiles);
        assert_eq!(rounds.wall_s(0).median, 2.0);
    }
}
