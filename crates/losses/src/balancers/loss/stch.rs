//! Smooth Tchebycheff scalarisation (Lin et al., ICML 2024, arXiv 2402.19078), as LibMTL trains it.

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

/// `T mu logsumexp(log(L / q) / mu)` after a warm-up of `sum log L_i`.
///
/// The means of the warm-up's last epoch are the reference losses `q`. `w_i` is
/// `T softmax_i(log(L / q) / mu) / L_i`; losses below 1e-8 count as 1e-8. A task without labels
/// in that epoch has `q = 1`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stch {
    /// How smooth the maximum is; near 0 only the worst task counts.
    #[serde(default = "mu")]
    pub mu: f64,
    /// Epochs of the warm-up.
    #[serde(default = "warmup_epochs")]
    pub warmup_epochs: u64,
    /// Optimiser steps that make an epoch.
    pub epoch_steps: u64,
}

fn mu() -> f64 {
    1.0
}

fn warmup_epochs() -> u64 {
    4
}

impl Part for Stch {
    const NAME: &'static str = "stch";
    const SUMMARY: &'static str = "smooth Tchebycheff scalarisation: a soft maximum of the losses";

    fn example() -> Self {
        Stch { mu: mu(), warmup_epochs: 2, epoch_steps: 1 }
    }
}

impl BalancerPart for Stch {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Lin et al., ICML 2024, arXiv 2402.19078"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn needs(&self) -> &'static str {
        "losses, epoch means"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Stch {
    fn build(self, num_tasks: usize) -> Result<Tchebycheff> {
        expect_positive("mu", self.mu)?;
        let at_least_1 = |key, found: u64| expect(found > 0, key, "at least 1", found as f64);
        at_least_1("warmup_epochs", self.warmup_epochs)?;
        at_least_1("epoch_steps", self.epoch_steps)?;
        let zeros = || vec![0.0; num_tasks];
        let state = State::new([("sum", zeros()), ("count", zeros()), ("step", vec![0.0])]);
        Ok(Tchebycheff { config: self, state })
    }
}

/// The sums of the last epoch of the warm-up.
#[derive(Debug)]
pub(crate) struct Tchebycheff {
    config: Stch,
    state: State,
}

impl Tchebycheff {
    fn step(&self) -> f64 {
        self.state["step"][0]
    }

    fn warmup_steps(&self) -> f64 {
        self.config.warmup_epochs as f64 * self.config.epoch_steps as f64
    }

    fn reference(&self, task: usize) -> f64 {
        let (sum, count) = (self.state["sum"][task], self.state["count"][task]);
        if count > 0.0 { (sum / count).max(1e-8) } else { 1.0 }
    }

    fn smooth_maximum(&self, info: &StepInfo, losses: &[f64]) -> TaskWeights {
        let (count, mu) = (losses.len() as f64, self.config.mu);
        let log_ratio = |(task, loss): (&usize, &f64)| (loss / self.reference(*task)).ln() / mu;
        let z: Vec<f64> = info.tasks().iter().zip(losses).map(log_ratio).collect();
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
        let weights = softmax(&z).into_iter().zip(losses).map(|(share, loss)| count * share / loss);
        TaskWeights { weights: weights.collect(), total: count * mu * log_sum }
    }
}

impl LossWeighting for Tchebycheff {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.state["sum"].len())?;
        let losses = info.positive()?;
        if self.step() >= self.warmup_steps() {
            return Ok(self.smooth_maximum(info, &losses));
        }
        let total = losses.iter().map(|loss| loss.ln()).sum();
        Ok(TaskWeights { weights: losses.iter().map(|loss| 1.0 / loss).collect(), total })
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.state["sum"].len())?;
        let losses = info.positive()?;
        let last_epoch = self.warmup_steps() - self.config.epoch_steps as f64;
        if self.step() >= last_epoch && self.step() < self.warmup_steps() {
            for (task, loss) in info.tasks().iter().zip(losses) {
                self.state["sum"][*task] += loss;
                self.state["count"][*task] += 1.0;
            }
        }
        self.state["step"][0] += 1.0;
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
    use crate::balancers::testing::{agree, info};

    /// Two epochs of two steps; the second has means 2.5, 0.5, 0.8.
    fn warm(mu: f64) -> Tchebycheff {
        let mut balancer = Stch { mu, warmup_epochs: 2, epoch_steps: 2 }.build(3).unwrap();
        for losses in [[9.0; 3], [9.0; 3], [3.0, 0.25, 0.8], [2.0, 0.75, 0.8]] {
            let weighted = balancer.weights(&info(&losses)).unwrap();
            agree(&weighted.weights, &losses.map(|loss| 1.0 / loss));
            balancer.after_step(&info(&losses), None).unwrap();
        }
        balancer
    }

    #[test]
    fn weights_are_those_printed() {
        // LibMTL prints the total less `T log max(L / q)`, a constant to it.
        let constant = 3.0 * 1.25f64.ln();
        let weighted = warm(1.0).weights(&info(&[2.0, 0.5, 1.0])).unwrap();
        agree(&[weighted.total - constant], &[2.675994]);
        agree(&weighted.weights, &[0.393443, 1.967213, 1.229508]);
        let weighted = warm(0.1).weights(&info(&[2.0, 0.5, 1.0])).unwrap();
        agree(&[weighted.total - constant], &[0.033705]);
        agree(&weighted.weights, &[0.015456, 0.575783, 2.681197]);
    }

    #[test]
    fn references_stay_after_the_warm_up() {
        let mut balancer = warm(1.0);
        let before = balancer.weights(&info(&[2.0, 0.5, 1.0])).unwrap();
        balancer.after_step(&info(&[7.0; 3]), None).unwrap();
        assert_eq!(balancer.weights(&info(&[2.0, 0.5, 1.0])).unwrap(), before);
    }
}
