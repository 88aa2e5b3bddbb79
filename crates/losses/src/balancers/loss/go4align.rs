//! GO4Align: weights of groups of tasks (Shen et al., Group Optimization for Multi-Task Alignment,
//! NeurIPS 2024).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_positive};
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// `w_i`: the mean of `(sum_j L_j / L_i) p_i` over the tasks of its group.
///
/// `p <- p exp(-step_size L)`, scaled to the sum 1, remembers how large losses were; groups are those
/// of least squares in one dimension, found exactly, where the release draws a start of k-means.
/// The scale of a loss has little effect, as with its logarithm, until losses have differed for long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Go4Align {
    /// Number of groups; no more than there are tasks are made.
    pub num_groups: usize,
    /// How fast `p` forgets that it began even.
    pub step_size: f64,
}

impl Default for Go4Align {
    fn default() -> Self {
        Self { num_groups: 2, step_size: 1e-4 }
    }
}

impl Part for Go4Align {
    const NAME: &'static str = "go4align";
    const SUMMARY: &'static str = "inverse losses, averaged within groups of tasks";

    fn example() -> Self {
        Go4Align::default()
    }
}

impl BalancerPart for Go4Align {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Shen et al., NeurIPS 2024"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Go4Align {
    fn build(self, num_tasks: usize) -> Result<Groups> {
        expect(self.num_groups > 0, "num_groups", "at least 1", self.num_groups as f64)?;
        expect_positive("step_size", self.step_size)?;
        let even = vec![1.0 / num_tasks as f64; num_tasks];
        Ok(Groups { config: self, state: State::new([("p", even)]) })
    }
}

/// `p` of all tasks.
#[derive(Debug)]
struct Groups {
    config: Go4Align,
    state: State,
}

impl Groups {
    /// `p` of the tasks of the batch behind its losses; their sum stays.
    fn moved(&self, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.state["p"].len())?;
        let of = |(task, loss): (&usize, &f64)| {
            self.state["p"][*task] * (-self.config.step_size * loss).exp()
        };
        let moved: Vec<f64> = info.tasks().iter().zip(info.not_negative()?).map(of).collect();
        let before: f64 = info.tasks().iter().map(|task| self.state["p"][*task]).sum();
        let share = before / moved.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        Ok(moved.iter().map(|p| (p * share).max(f64::MIN_POSITIVE)).collect())
    }
}

impl LossWeighting for Groups {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        let moved = self.moved(info)?;
        let shifted: Vec<f64> = info.not_negative()?.iter().map(|loss| loss + 1e-8).collect();
        let sum: f64 = shifted.iter().sum();
        let raw: Vec<f64> = shifted.iter().zip(moved).map(|(loss, p)| sum / loss * p).collect();
        Ok(TaskWeights::of(grouped(&raw, self.config.num_groups), info))
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        for (task, p) in info.tasks().iter().zip(self.moved(info)?) {
            self.state["p"][*task] = p;
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

/// Every value as the mean of its group; `groups` groups of least squares.
fn grouped(values: &[f64], groups: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let sorted: Vec<f64> = order.iter().map(|index| values[*index]).collect();
    let mut means = vec![0.0; values.len()];
    for (from, to) in runs(&sorted, groups.min(sorted.len())) {
        let mean = mean(&sorted[from..to]);
        order[from..to].iter().for_each(|index| means[*index] = mean);
    }
    means
}

/// The best `groups` runs of a sorted list, by their least cost for every beginning of it.
fn runs(sorted: &[f64], groups: usize) -> Vec<(usize, usize)> {
    let mut best: Vec<(f64, Vec<(usize, usize)>)> =
        (0..=sorted.len()).map(|to| (cost(&sorted[..to]), vec![(0, to)])).collect();
    for _ in 1..groups {
        let with_one_more = |to: usize| {
            let last = |from: usize| {
                let (before, runs) = &best[from];
                (before + cost(&sorted[from..to]), [&runs[..], &[(from, to)]].concat())
            };
            let all = (1..to).map(last).chain([best[to].clone()]);
            all.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
        };
        best = (0..=sorted.len()).map(with_one_more).collect();
    }
    best.pop().unwrap_or_default().1
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Squared distances from the mean.
fn cost(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, info, refusal};

    #[test]
    fn groups_are_those_of_least_squares() {
        agree(&grouped(&[5.0, 1.0, 6.0, 2.0], 2), &[5.5, 1.5, 5.5, 1.5]);
        agree(&grouped(&[5.0, 1.0, 9.0, 2.0], 3), &[5.0, 1.5, 9.0, 1.5]);
        agree(&grouped(&[5.0, 1.0], 1), &[3.0, 3.0]);
        agree(&grouped(&[4.0], 3), &[4.0]);
    }

    #[test]
    fn weights_are_inverse_losses_of_groups() {
        let balancer = Go4Align { num_groups: 3, step_size: 1e-9 }.build(3).unwrap();
        // The sum is 3.5, p a third.
        let weights = balancer.weights(&info(&[2.0, 0.5, 1.0])).unwrap().weights;
        agree(&weights, &[3.5 / 6.0, 7.0 / 3.0, 3.5 / 3.0]);
        let balancer = Go4Align { num_groups: 2, step_size: 1e-9 }.build(3).unwrap();
        let weights = balancer.weights(&info(&[2.0, 0.5, 1.0])).unwrap().weights;
        agree(&weights, &[0.875, 7.0 / 3.0, 0.875]);
    }

    #[test]
    fn large_losses_lose_their_share() {
        let mut balancer = Go4Align { num_groups: 1, step_size: 1.0 }.build(2).unwrap();
        balancer.after_step(&info(&[2.0, 1.0]), None).unwrap();
        let share = 1.0 / (1.0 + std::f64::consts::E);
        agree(&balancer.state["p"], &[share, 1.0 - share]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Go4Align>(r#"{"num_groups": 0}"#);
        assert_eq!(found, "num_groups: expected at least 1, found 0");
    }
}
