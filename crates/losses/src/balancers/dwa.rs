//! Dynamic weight average (Liu, Johns, Davison, MTAN, CVPR 2019, arXiv 1803.10704).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::seam::{expect, expect_positive, softmax};
use crate::balancers::{Batch, LossBalancer, State, Weighing};

/// `w_i = T softmax_i(r / temperature)`, `r_i` the last epoch's mean loss over the one before.
///
/// Weights are 1 for two epochs. A task whose older mean is 0 has `r_i = 1`; the means of a task
/// that had no labels in an epoch stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dwa {
    /// How soft the softmax is.
    #[serde(default = "temperature")]
    pub temperature: f64,
    /// Optimiser steps that make an epoch.
    pub epoch_steps: u64,
}

fn temperature() -> f64 {
    2.0
}

impl Dwa {
    pub(crate) fn init(self, num_tasks: usize) -> Result<Average> {
        expect_positive("temperature", self.temperature)?;
        expect(self.epoch_steps > 0, "epoch_steps", "at least 1", self.epoch_steps as f64)?;
        let zeros = || vec![0.0; num_tasks];
        let state = State::new([
            ("sum", zeros()),
            ("count", zeros()),
            ("last_mean", zeros()),
            ("older_mean", zeros()),
            ("step", vec![0.0]),
        ]);
        Ok(Average { config: self, state })
    }
}

/// Two epochs of means.
#[derive(Debug)]
pub(crate) struct Average {
    config: Dwa,
    state: State,
}

impl Average {
    fn end_epoch(&mut self) {
        for task in 0..self.state["sum"].len() {
            if self.state["count"][task] > 0.0 {
                self.state["older_mean"][task] = self.state["last_mean"][task];
                self.state["last_mean"][task] = self.state["sum"][task] / self.state["count"][task];
            }
        }
        self.state["sum"].fill(0.0);
        self.state["count"].fill(0.0);
    }

    fn all_weights(&self) -> Vec<f64> {
        let (last, older) = (&self.state["last_mean"], &self.state["older_mean"]);
        let ratio = |(last, older): (&f64, &f64)| if *older > 0.0 { last / older } else { 1.0 };
        let z: Vec<f64> =
            last.iter().zip(older).map(|means| ratio(means) / self.config.temperature).collect();
        softmax(&z).iter().map(|w| w * z.len() as f64).collect()
    }
}

impl LossBalancer for Average {
    fn weights(&self, batch: &Batch) -> Result<Weighing> {
        batch.of(self.state["sum"].len())?;
        batch.not_negative()?;
        let early = self.state["step"][0] < 2.0 * self.config.epoch_steps as f64;
        let all = if early { vec![1.0; batch.num_tasks()] } else { self.all_weights() };
        Ok(batch.weighing(batch.tasks().iter().map(|task| all[*task]).collect()))
    }

    fn after_step(&mut self, batch: &Batch, _new_losses: Option<&[f64]>) -> Result<()> {
        batch.of(self.state["sum"].len())?;
        for (task, loss) in batch.tasks().iter().zip(batch.not_negative()?) {
            self.state["sum"][*task] += loss;
            self.state["count"][*task] += 1.0;
        }
        self.state["step"][0] += 1.0;
        if self.state["step"][0] % self.config.epoch_steps as f64 == 0.0 {
            self.end_epoch();
        }
        Ok(())
    }

    fn state(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.state.restore(state)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::Key;
    use crate::balancers::testing::{agree, batch};

    fn balancer() -> Average {
        Dwa { temperature: 2.0, epoch_steps: 2 }.init(3).unwrap()
    }

    #[test]
    fn weights_follow_the_ratio_of_epoch_means() {
        let mut balancer = balancer();
        for losses in [[3.0, 0.5, 0.8], [2.0, 0.5, 0.8], [2.5, 0.25, 1.0], [1.5, 0.75, 1.0]] {
            assert_eq!(balancer.weights(&batch(&losses)).unwrap().weights, [1.0; 3]);
            balancer.after_step(&batch(&losses), None).unwrap();
        }
        let weights = balancer.weights(&batch(&[1.0; 3])).unwrap().weights;
        agree(&weights, &[0.893524, 0.987496, 1.118980]);
    }

    #[test]
    fn a_task_without_labels_keeps_its_means() {
        let mut balancer = balancer();
        let present = Batch::new(3, &[0, 2], &[1.0, 0.0], Key { seed: 0, step: 0 }).unwrap();
        for _ in 0..6 {
            balancer.after_step(&present, None).unwrap();
        }
        assert_eq!(balancer.state()["last_mean"], [1.0, 0.0, 0.0]);
        agree(&balancer.weights(&batch(&[1.0; 3])).unwrap().weights, &[1.0; 3]);
    }
}
