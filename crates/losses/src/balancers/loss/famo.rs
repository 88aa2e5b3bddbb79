//! FAMO: fast adaptive multitask optimisation (Liu et al., NeurIPS 2023, arXiv 2306.03792).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::{expect, expect_not_negative, expect_positive};
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::softmax;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// What [`LossWeighting::after_step`] needs.
const AFTER: &str = "the losses of the same batch after the step";

/// `w_i = (z_i / D_i) / sum_k z_k / D_k`, `z = softmax(logits)`, `D_i = L_i - floor + 1e-8`.
///
/// After the step the losses of the same batch tell how much each task gained:
/// `delta_i = log D_i - log D_i'`, and Adam moves the logits down `(diag(z) - z z^T) delta`. A
/// loss at or below its floor counts as 1e-8 above it. A task without labels has no part in `z`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Famo {
    /// Learning rate of the logits.
    pub lr: f64,
    /// Coupled weight decay of the logits: 1e-3, that of the published runs.
    pub weight_decay: f64,
    /// What no loss can go below.
    pub floor: f64,
    /// Longest shared gradient; 0 for no limit, as in LibMTL.
    pub max_norm: f64,
}

impl Default for Famo {
    fn default() -> Self {
        Self { lr: 0.025, weight_decay: 1e-3, floor: 0.0, max_norm: 1.0 }
    }
}

impl Part for Famo {
    const NAME: &'static str = "famo";
    const SUMMARY: &'static str = "fast adaptive weights: all losses fall at the same rate";

    fn example() -> Self {
        Famo::default()
    }
}

impl BalancerPart for Famo {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Liu et al., NeurIPS 2023, arXiv 2306.03792"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn needs(&self) -> &'static str {
        "losses before and after"
    }

    fn cost(&self) -> &'static str {
        "1 backward, 1 extra forward"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Famo {
    fn build(self, num_tasks: usize) -> Result<Adaptive> {
        expect_positive("lr", self.lr)?;
        expect_not_negative("weight_decay", self.weight_decay)?;
        expect(self.floor.is_finite(), "floor", "a finite number", self.floor)?;
        expect_not_negative("max_norm", self.max_norm)?;
        let logits = TaskNumbers::new(num_tasks, 0.0, self.lr, self.weight_decay);
        Ok(Adaptive { config: self, logits })
    }
}

/// The logits.
#[derive(Debug)]
pub(crate) struct Adaptive {
    config: Famo,
    logits: TaskNumbers,
}

impl Adaptive {
    fn gaps(&self, losses: &[f64]) -> Vec<f64> {
        losses.iter().map(|loss| (loss - self.config.floor).max(0.0) + 1e-8).collect()
    }
}

impl LossWeighting for Adaptive {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.logits.len())?;
        let (z, gaps) = (softmax(&self.logits.values(info.tasks())), self.gaps(info.losses()));
        let shares: Vec<f64> = z.iter().zip(&gaps).map(|(z, gap)| z / gap).collect();
        let c: f64 = shares.iter().sum();
        let total = z.iter().zip(&gaps).map(|(z, gap)| z * gap.ln() / c).sum();
        Ok(TaskWeights { weights: shares.iter().map(|share| share / c).collect(), total })
    }

    fn after_step(&mut self, info: &StepInfo, new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.logits.len())?;
        let new_losses = new_losses.ok_or(Error::Missing { name: "famo", what: AFTER })?;
        let after = self.gaps(info.with_losses(new_losses)?.losses());
        let before = self.gaps(info.losses());
        let delta: Vec<f64> = before.iter().zip(after).map(|(old, new)| (old / new).ln()).collect();
        let z = softmax(&self.logits.values(info.tasks()));
        let mean: f64 = z.iter().zip(&delta).map(|(z, delta)| z * delta).sum();
        let slopes: Vec<f64> = z.iter().zip(&delta).map(|(z, delta)| z * (delta - mean)).collect();
        self.logits.descend(info.tasks(), &slopes);
        Ok(())
    }

    fn needs_new_losses(&self) -> bool {
        true
    }

    fn max_norm(&self) -> Option<f64> {
        (self.config.max_norm > 0.0).then_some(self.config.max_norm)
    }

    fn state(&self) -> Option<&State> {
        Some(&self.logits.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.logits.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, info, refusal};

    #[test]
    fn two_steps_are_those_printed() {
        let config = Famo { weight_decay: 0.01, ..Famo::default() };
        let mut balancer = config.build(3).unwrap();
        let (start, middle, end) = ([2.0, 0.5, 1.0], [1.9, 0.45, 1.02], [1.7, 0.44, 1.0]);
        let weights =
            |balancer: &Adaptive, losses| balancer.weights(&info(losses)).unwrap().weights;
        agree(&weights(&balancer, &start), &[0.142857, 0.571429, 0.285714]);
        balancer.after_step(&info(&start), Some(&middle)).unwrap();
        let slopes: Vec<f64> =
            balancer.state().unwrap()["first_moment"].iter().map(|m| m * 10.0).collect();
        agree(&slopes, &[0.001892, 0.019914, -0.021807]);
        agree(&balancer.logits.values(&[0, 1, 2]), &[-0.025, -0.025, 0.025]);
        agree(&softmax(&balancer.logits.values(&[0, 1, 2])), &[0.327732, 0.327732, 0.344535]);
        agree(&weights(&balancer, &middle), &[0.139267, 0.588015, 0.272719]);
        balancer.after_step(&info(&middle), Some(&end)).unwrap();
        agree(&balancer.logits.values(&[0, 1, 2]), &[-0.045126, -0.032123, 0.048121]);
    }

    #[test]
    fn the_losses_after_the_step_are_needed() {
        let mut balancer = Famo::default().build(1).unwrap();
        let message = balancer.after_step(&info(&[1.0]), None).unwrap_err().to_string();
        let expected = "famo: expected the losses of the same batch after the step, found none";
        assert_eq!(message, expected);
    }

    #[test]
    fn a_loss_at_its_floor_has_a_finite_weight() {
        let balancer = Famo::default().build(2).unwrap();
        let weighted = balancer.weights(&info(&[0.0, 1.0])).unwrap();
        assert!(weighted.weights[0] > 0.999 && weighted.total.is_finite());
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Famo>(r#"{"lr": 0}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found 0");
    }
}
