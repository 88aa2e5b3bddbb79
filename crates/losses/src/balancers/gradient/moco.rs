//! MoCo: multi-objective gradient correction (Fernando et al., ICLR 2023, arXiv 2210.12624).

use ndarray::Array1;
use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect_fraction, expect_not_negative, expect_positive};
use crate::balancers::gradient::GradientAggregator;
use crate::balancers::gradient::matrix::{Buffer, column, gram_of_gradients, norms, weighted_sum};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::{project, softmax};
use crate::balancers::step_info::StepInfo;
use crate::balancers::tensor_state::TensorState;

/// `d = y^T lambda`, `y` a moving average of task gradients scaled to `L_i`, `lambda` a moving
/// min-norm.
///
/// With `k` the step from 1: `y <- y - beta_k (y - L_i g_i / (n_i + 1e-8))`,
/// `beta_k = beta / k^beta_sigma`, then `lambda <- S(lambda - gamma_k (y y^T + rho I) lambda)`,
/// `gamma_k = gamma / k^gamma_sigma`. `S` is softmax, as released, which keeps `lambda` nearly
/// uniform, or the projection on the simplex, as in the paper.
///
/// Tasks without labels keep their `y` and `lambda`; the others share the rest of `lambda`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Moco {
    /// Rate of the task gradients at the first step.
    pub beta: f64,
    /// How fast it falls.
    pub beta_sigma: f64,
    /// Rate of the weights at the first step.
    pub gamma: f64,
    /// How fast it falls.
    pub gamma_sigma: f64,
    /// Regularisation of the weights.
    pub rho: f64,
    /// How the weights are brought back to the simplex.
    pub projection: Projection,
}

/// How weights are brought back to the simplex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Softmax of the weights, as released.
    Softmax,
    /// The nearest point.
    Simplex,
}

impl Default for Moco {
    fn default() -> Self {
        let projection = Projection::Softmax;
        Self { beta: 0.5, beta_sigma: 0.5, gamma: 0.1, gamma_sigma: 0.5, rho: 0.0, projection }
    }
}

impl Part for Moco {
    const NAME: &'static str = "moco";
    const SUMMARY: &'static str = "multi-objective gradient correction: MGDA of moving averages";

    fn example() -> Self {
        Moco::default()
    }
}

impl BalancerPart for Moco {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gradients
    }

    fn source(&self) -> &'static str {
        "Fernando et al., ICLR 2023, arXiv 2210.12624"
    }

    fn scale(&self) -> &'static str {
        "mean"
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

impl Moco {
    fn build(self, num_tasks: usize) -> Result<Corrected> {
        expect_fraction("beta", self.beta)?;
        expect_not_negative("beta_sigma", self.beta_sigma)?;
        expect_positive("gamma", self.gamma)?;
        expect_not_negative("gamma_sigma", self.gamma_sigma)?;
        expect_not_negative("rho", self.rho)?;
        let lambda = vec![1.0 / num_tasks as f64; num_tasks];
        Ok(Corrected { config: self, lambda, step: 0.0, averages: Buffer::default() })
    }

    fn project(&self, lambda: Array1<f64>) -> Vec<f64> {
        match self.projection {
            Projection::Softmax => softmax(&lambda.to_vec()),
            Projection::Simplex => project(&lambda).to_vec(),
        }
    }
}

/// The moving task gradients and weights.
#[derive(Debug)]
pub(crate) struct Corrected {
    config: Moco,
    lambda: Vec<f64>,
    step: f64,
    averages: Buffer,
}

impl Corrected {
    /// Moves the weights of the tasks of the batch and returns them, scaled to sum 1.
    fn weight(&mut self, gradients: &Tensor, tasks: &[usize]) -> Result<Vec<f64>> {
        let share: f64 = tasks.iter().map(|task| self.lambda[*task]).sum();
        let even = 1.0 / tasks.len() as f64;
        let of = |task: &usize| if share > 0.0 { self.lambda[*task] / share } else { even };
        let lambda: Array1<f64> = tasks.iter().map(of).collect();
        let slope = gram_of_gradients(gradients)?.matrix().dot(&lambda) + &lambda * self.config.rho;
        let rate = self.config.gamma / self.step.powf(self.config.gamma_sigma);
        let lambda = self.config.project(lambda - slope * rate);
        tasks.iter().zip(&lambda).for_each(|(task, value)| self.lambda[*task] = value * share);
        Ok(lambda)
    }
}

impl GradientAggregator for Corrected {
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor> {
        info.of(self.lambda.len())?;
        let norms = norms(gradients, info)?;
        let factors = info.losses().iter().zip(norms).map(|(loss, norm)| loss / (norm + 1e-8));
        let target = gradients * column(gradients, &factors.collect::<Vec<f64>>());
        let rate = self.config.beta / (self.step + 1.0).powf(self.config.beta_sigma);
        let gradients = self.averages.approach(&target, rate, info)?;
        self.step += 1.0;
        let lambda = self.weight(&gradients, info.tasks())?;
        Ok(weighted_sum(&gradients, &lambda))
    }

    fn state(&self) -> TensorState {
        let arrays = [
            ("rows".to_owned(), self.averages.saved()),
            ("lambda".to_owned(), Tensor::from_slice(&self.lambda)),
            ("step".to_owned(), Tensor::from_slice(&[self.step])),
        ];
        arrays.into_iter().collect()
    }

    fn restore(&mut self, state: &TensorState) -> Result<()> {
        state.only(&["rows", "lambda", "step"])?;
        let lambda = state.numbers("lambda", self.lambda.len())?;
        let step = state.numbers("step", 1)?[0];
        self.averages = Buffer(state.buffer("rows", lambda.len())?);
        (self.lambda, self.step) = (lambda, step);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, numbers, refusal, rows2, rows3, tensor};

    #[test]
    fn two_steps_are_those_printed() {
        let mut balancer = Moco::default().build(2).unwrap();
        let (rows, losses) = (tensor(&rows2()), info(&[2.0, 0.5]));
        let d = balancer.direction(&rows, &losses).unwrap();
        agree(&balancer.lambda, &[0.488283, 0.511717]);
        agree(&numbers(&d), &[-0.335841, 0.135842, 0.135842]);
        let d = balancer.direction(&rows, &losses).unwrap();
        agree(&balancer.lambda, &[0.479534, 0.520466]);
        agree(&numbers(&d), &[-0.440532, 0.181559, 0.181559]);

        let mut balancer = Moco::default().build(3).unwrap();
        let (rows, losses) = (tensor(&rows3()), info(&[2.0, 0.5, 1.0]));
        let d = balancer.direction(&rows, &losses).unwrap();
        agree(&balancer.lambda, &[0.327040, 0.337292, 0.335668]);
        agree(&numbers(&d), &[0.271747, 0.110715, 0.150111, 0.070499]);
        let d = balancer.direction(&rows, &losses).unwrap();
        agree(&balancer.lambda, &[0.323321, 0.339684, 0.336995]);
        agree(&numbers(&d), &[0.363128, 0.147763, 0.204076, 0.094607]);
    }

    #[test]
    fn the_simplex_leads_to_the_shortest_vector() {
        // Fixed task gradients of unit losses: lambda goes to the min-norm weights of the unit task
        // gradients.
        let config = Moco { projection: Projection::Simplex, gamma_sigma: 0.0, ..Moco::default() };
        let mut balancer = config.build(3).unwrap();
        for _ in 0..3000 {
            let _ = balancer.direction(&tensor(&rows3()), &info(&[1.0; 3])).unwrap();
        }
        agree(&balancer.lambda, &[0.267008, 0.361830, 0.371162]);
    }

    #[test]
    fn tasks_without_labels_keep_what_is_remembered() {
        let mut balancer = Moco::default().build(3).unwrap();
        let _ = balancer.direction(&tensor(&rows3()), &info(&[2.0, 0.5, 1.0])).unwrap();
        let before = (balancer.lambda[1], numbers(&balancer.averages.saved().get(1)));
        let two = StepInfo::new(3, &[0, 2], &[2.0, 1.0], StepSeed { seed: 0, step: 1 }).unwrap();
        let d = balancer.direction(&tensor(&rows3()).narrow(0, 0, 2), &two).unwrap();
        assert_eq!((balancer.lambda[1], numbers(&balancer.averages.saved().get(1))), before);
        assert!((balancer.lambda.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(numbers(&d).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Moco>(r#"{"gamma": 0}"#);
        assert_eq!(found, "gamma: expected a finite number above 0, found 0");
    }
}
