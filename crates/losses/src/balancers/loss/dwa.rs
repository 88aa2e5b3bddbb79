//! Dynamic weight average (Liu, Johns, Davison, MTAN, CVPR 2019, arXiv 1803.10704).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_positive};
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::softmax;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// `w_i = T softmax_i(r / temperature)`, `r_i` the last epoch's mean loss over the one before.
///
/// Weights are 1 for two epochs. A task whose older mean is 0 has `r_i = 1`; the means of a task
/// that had no labels in an epoch stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl Part for Dwa {
    const NAME: &'static str = "dwa";
    const SUMMARY: &'static str =
        "dynamic weight average: tasks whose loss falls slowly count more";

    fn example() -> Self {
        Dwa { temperature: temperature(), epoch_steps: 1 }
    }
}

impl BalancerPart for Dwa {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Liu et al., CVPR 2019, arXiv 1803.10704"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn needs(&self) -> &'static str {
        "losses, epoch means"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Dwa {
    fn build(self, num_tasks: usize) -> Result<Average> {
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

impl LossWeighting for Average {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.state["sum"].len())?;
        info.not_negative()?;
        let early = self.state["step"][0] < 2.0 * self.config.epoch_steps as f64;
        let all = if early { vec![1.0; info.num_tasks()] } else { self.all_weights() };
        Ok(TaskWeights::of(info.tasks().iter().map(|task| all[*task]).collect(), info))
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.state["sum"].len())?;
        for (task, loss) in info.tasks().iter().zip(info.not_negative()?) {
            self.state["sum"][*task] += loss;
            self.state["count"][*task] += 1.0;
        }
        self.state["step"][0] += 1.0;
        if self.state["step"][0] % self.config.epoch_steps as f64 == 0.0 {
            self.end_epoch();
        }
        Ok(())
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, refusal};

    fn balancer() -> Average {
        Dwa { temperature: 2.0, epoch_steps: 2 }.build(3).unwrap()
    }

    #[test]
    fn weights_follow_the_ratio_of_epoch_means() {
        let mut balancer = balancer();
        for losses in [[3.0, 0.5, 0.8], [2.0, 0.5, 0.8], [2.5, 0.25, 1.0], [1.5, 0.75, 1.0]] {
            assert_eq!(balancer.weights(&info(&losses)).unwrap().weights, [1.0; 3]);
            balancer.after_step(&info(&losses), None).unwrap();
        }
        let weights = balancer.weights(&info(&[1.0; 3])).unwrap().weights;
        agree(&weights, &[0.893524, 0.987496, 1.118980]);
    }

    #[test]
    fn a_task_without_labels_keeps_its_means() {
        let mut balancer = balancer();
        let present =
            StepInfo::new(3, &[0, 2], &[1.0, 0.0], StepSeed { seed: 0, step: 0 }).unwrap();
        for _ in 0..6 {
            balancer.after_step(&present, None).unwrap();
        }
        assert_eq!(balancer.state().unwrap()["last_mean"], [1.0, 0.0, 0.0]);
        agree(&balancer.weights(&info(&[1.0; 3])).unwrap().weights, &[1.0; 3]);
    }

    #[test]
    fn the_length_of_an_epoch_is_needed() {
        let message = serde_json::from_str::<Dwa>("{}").unwrap_err().to_string();
        assert!(message.contains("missing field `epoch_steps`"), "{message}");
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Dwa>(r#"{"epoch_steps": 0}"#);
        assert_eq!(found, "epoch_steps: expected at least 1, found 0");
    }
}
