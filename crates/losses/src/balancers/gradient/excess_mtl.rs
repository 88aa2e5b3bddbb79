//! ExcessMTL: weights by excess risks (He et al., Robust Multi-Task Learning with Excess Risks,
//! ICML 2024, arXiv 2402.02009).

use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::expect_positive;
use crate::balancers::gradient::GradientAggregator;
use crate::balancers::gradient::matrix::{norms, weighted_sum};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;
use crate::balancers::tensor_state::TensorState;
use crate::{Error, Result};

/// `d = sum_i w_i g_i`; tasks far from their own optimum count more, noisy ones do not.
///
/// A task's distance in loss from its optimum is estimated by `E_i = g_i^T diag(S_i)^(-1/2) g_i`, `S_i`
/// the sum of its squared gradients so far. Then `w_i <- w_i exp(step_size E_i / E_i^0)`, `E_i^0` that
/// of its first step, and weights are scaled to the sum `T`. In its first step a task's weight stays.
///
/// The roots have nothing added to them, where the release adds 1e-7, which would drown tiny
/// adapter gradients. Tasks without labels keep their sums.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExcessMtl {
    /// How fast weights move.
    pub step_size: f64,
}

impl Default for ExcessMtl {
    fn default() -> Self {
        Self { step_size: 0.01 }
    }
}

impl Part for ExcessMtl {
    const NAME: &'static str = "excess_mtl";
    const SUMMARY: &'static str = "tasks far from their own optimum count more";

    fn example() -> Self {
        ExcessMtl::default()
    }
}

impl BalancerPart for ExcessMtl {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gradients
    }

    fn source(&self) -> &'static str {
        "He et al., ICML 2024, arXiv 2402.02009"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn cost(&self) -> &'static str {
        "T backwards, 2T x P numbers"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gradients((*self).build(num_tasks)?))
    }
}

impl ExcessMtl {
    fn build(self, num_tasks: usize) -> Result<Risks> {
        expect_positive("step_size", self.step_size)?;
        let (weights, first) = (vec![1.0; num_tasks], vec![0.0; num_tasks]);
        Ok(Risks { config: self, weights, first, squares: None })
    }
}

/// Weights, and what risks are estimated by.
#[derive(Debug)]
struct Risks {
    config: ExcessMtl,
    weights: Vec<f64>,
    /// `E^0`; 0 before a task's first step.
    first: Vec<f64>,
    /// `S`, `[T, P]`.
    squares: Option<Tensor>,
}

impl Risks {
    /// Adds squares and returns `E` of the tasks of the batch.
    fn risks(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Vec<f64>> {
        let shape = [info.num_tasks() as i64, gradients.size()[1]];
        let mut sums = match self.squares.take() {
            None => Tensor::zeros(shape, (gradients.kind(), gradients.device())),
            Some(sums) if sums.size() == shape => sums.to_device(gradients.device()),
            Some(sums) => {
                let expected = format!("[{}, {}]", info.len(), sums.size()[1]);
                self.squares = Some(sums);
                return Err(Error::Shape { key: "gradients", expected, found: gradients.size() });
            }
        };
        let mut risks = Vec::new();
        // Row by row, to spare memory.
        for (row, task) in info.tasks().iter().enumerate() {
            let square = gradients.get(row as i64).square();
            let mut sum = sums.get(*task as i64);
            sum += &square;
            let root = sum.clamp_min(f64::from(f32::MIN_POSITIVE)).sqrt();
            risks.push((square / root).sum(Kind::Double).double_value(&[]));
        }
        self.squares = Some(sums.shallow_clone());
        let _ = sums.detach_();
        Ok(risks)
    }

    fn reweight(&mut self, risks: &[f64], tasks: &[usize]) {
        for (task, risk) in tasks.iter().zip(risks) {
            match self.first[*task] > 0.0 {
                true => {
                    let growth = self.config.step_size * risk / self.first[*task];
                    // Far above any weight that scaling leaves.
                    self.weights[*task] *= growth.min(500.0).exp();
                }
                false => self.first[*task] = *risk,
            }
        }
        let share = self.weights.len() as f64 / self.weights.iter().sum::<f64>();
        self.weights.iter_mut().for_each(|weight| *weight *= share);
    }
}

impl GradientAggregator for Risks {
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor> {
        info.of(self.weights.len())?;
        norms(gradients, info)?;
        let risks = self.risks(gradients, info)?;
        self.reweight(&risks, info.tasks());
        let weights: Vec<f64> = info.tasks().iter().map(|task| self.weights[*task]).collect();
        Ok(weighted_sum(gradients, &weights))
    }

    fn state(&self) -> TensorState {
        let empty = || Tensor::from_slice::<f32>(&[]);
        let squares = self.squares.as_ref().map_or_else(empty, Tensor::copy);
        let arrays = [
            ("squares".to_owned(), squares),
            ("weights".to_owned(), Tensor::from_slice(&self.weights)),
            ("first".to_owned(), Tensor::from_slice(&self.first)),
        ];
        arrays.into_iter().collect()
    }

    fn restore(&mut self, state: &TensorState) -> Result<()> {
        state.only(&["squares", "weights", "first"])?;
        let weights = state.numbers("weights", self.weights.len())?;
        let first = state.numbers("first", self.first.len())?;
        self.squares = state.buffer("squares", weights.len())?;
        (self.weights, self.first) = (weights, first);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::balancers::testing::{agree, info, numbers, refusal, tensor};

    /// E of the first step is |g|; of the second 4 / sqrt 5 and 1 / sqrt 2.
    #[test]
    fn a_task_whose_gradient_grows_counts_more() {
        let mut balancer = ExcessMtl { step_size: 1.0 }.build(2).unwrap();
        let losses = info(&[1.0, 1.0]);
        let first = balancer.direction(&tensor(&arr2(&[[1.0], [1.0]])), &losses).unwrap();
        agree(&numbers(&first), &[2.0]);
        let d = balancer.direction(&tensor(&arr2(&[[2.0], [1.0]])), &losses).unwrap();
        let [one, other] = [4.0 / 5f64.sqrt(), 0.5f64.sqrt()].map(f64::exp);
        let weight = 2.0 * one / (one + other);
        agree(&balancer.weights, &[weight, 2.0 - weight]);
        agree(&numbers(&d), &[weight + 2.0]);
    }

    #[test]
    fn equal_histories_have_equal_weights() {
        let mut balancer = ExcessMtl::default().build(2).unwrap();
        let rows = tensor(&arr2(&[[3.0, 0.0], [0.0, 1e-9]]));
        (0..5).for_each(|_| drop(balancer.direction(&rows, &info(&[1.0, 1.0])).unwrap()));
        agree(&balancer.weights, &[1.0, 1.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<ExcessMtl>(r#"{"step_size": 0}"#);
        assert_eq!(found, "step_size: expected a finite number above 0, found 0");
    }
}
