//! DB-MTL: dual balancer (Lin et al., arXiv 2308.12029).

use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_not_negative};
use crate::balancers::gradient::GradientAggregator;
use crate::balancers::gradient::matrix::{Buffer, column, norms, weighted_sum};
use crate::balancers::loss::LossWeighting;
use crate::balancers::loss::log_loss::LogLoss;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;
use crate::balancers::tensor_state::TensorState;

/// `d = sum_i (max_j |y_j| / |y_i|) y_i`, `y` a moving average of gradients of log losses.
///
/// With `k` the step from 1: `y <- g + beta_k (y - g)`, `g` the task gradients over `L_i + 1e-8`,
/// `beta_k = beta / k^beta_sigma`. `y` starts at 0, so with `beta = 0.9` the first step is a tenth
/// of the gradients. A task gradient of length 0 stays 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DbMtl {
    /// How much of the past stays, below 1.
    pub beta: f64,
    /// How fast it falls.
    pub beta_sigma: f64,
}

impl Default for DbMtl {
    fn default() -> Self {
        Self { beta: 0.9, beta_sigma: 0.0 }
    }
}

impl Part for DbMtl {
    const NAME: &'static str = "db_mtl";
    const SUMMARY: &'static str =
        "dual balancing: log losses, and gradients as long as the longest";

    fn example() -> Self {
        DbMtl::default()
    }
}

impl BalancerPart for DbMtl {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gradients
    }

    fn source(&self) -> &'static str {
        "Lin et al., arXiv 2308.12029"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn needs(&self) -> &'static str {
        "rows, losses"
    }

    fn cost(&self) -> &'static str {
        "T backwards, 2T x P numbers"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gradients((*self).build(num_tasks)?))
    }
}

impl DbMtl {
    fn build(self, num_tasks: usize) -> Result<DualBalance> {
        expect((0.0..1.0).contains(&self.beta), "beta", "at least 0 and below 1", self.beta)?;
        expect_not_negative("beta_sigma", self.beta_sigma)?;
        Ok(DualBalance { config: self, num_tasks, step: 0.0, averages: Buffer::default() })
    }
}

/// The moving task gradients.
#[derive(Debug)]
pub(crate) struct DualBalance {
    config: DbMtl,
    num_tasks: usize,
    step: f64,
    averages: Buffer,
}

impl GradientAggregator for DualBalance {
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor> {
        info.of(self.num_tasks)?;
        norms(gradients, info)?;
        let target = gradients * column(gradients, &LogLoss {}.weights(info)?.weights);
        norms(&target, info)?;
        let kept = self.config.beta / (self.step + 1.0).powf(self.config.beta_sigma);
        let gradients = self.averages.approach(&target, 1.0 - kept, info)?;
        self.step += 1.0;
        let norms = norms(&gradients, info)?;
        let longest = norms.iter().copied().fold(0.0, f64::max);
        let factor = |norm: &f64| if *norm > 0.0 { longest / norm } else { 1.0 };
        Ok(weighted_sum(&gradients, &norms.iter().map(factor).collect::<Vec<f64>>()))
    }

    fn state(&self) -> TensorState {
        let averages = ("rows".to_owned(), self.averages.saved());
        [averages, ("step".to_owned(), Tensor::from_slice(&[self.step]))].into_iter().collect()
    }

    fn restore(&mut self, state: &TensorState) -> Result<()> {
        state.only(&["rows", "step"])?;
        let step = state.numbers("step", 1)?[0];
        self.averages = Buffer(state.buffer("rows", self.num_tasks)?);
        self.step = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::balancers::testing::{agree, info, numbers, refusal, rows2, rows3, tensor};

    fn first(beta: f64, rows: &Array2<f64>) -> Vec<f64> {
        let mut balancer = DbMtl { beta, beta_sigma: 0.0 }.build(rows.nrows()).unwrap();
        let losses = info(&[2.0, 0.5, 1.0][..rows.nrows()]);
        numbers(&balancer.direction(&tensor(rows), &losses).unwrap())
    }

    #[test]
    fn first_steps_are_those_printed() {
        agree(&first(0.0, &rows2()), &[0.376269, 4.905933, 4.905933]);
        let whole = first(0.0, &rows3());
        agree(&whole, &[1.393663, 1.703769, 2.647755, 0.657834]);
        agree(&first(0.9, &rows3()), &whole.iter().map(|v| v / 10.0).collect::<Vec<_>>());
    }

    #[test]
    fn averages_move_by_what_is_not_kept() {
        let mut balancer = DbMtl { beta: 0.5, beta_sigma: 1.0 }.build(1).unwrap();
        let mut step = |value: f64| {
            let rows = tensor(&ndarray::arr2(&[[value]]));
            numbers(&balancer.direction(&rows, &info(&[1.0])).unwrap())[0]
        };
        assert!((step(4.0) - 2.0).abs() < 1e-6, "half of the first");
        assert!((step(8.0) - 6.5).abs() < 1e-6, "a quarter of 2 and three quarters of 8");
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<DbMtl>(r#"{"beta": 1}"#);
        assert_eq!(found, "beta: expected at least 0 and below 1, found 1");
    }
}
