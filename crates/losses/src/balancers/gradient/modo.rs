//! MoDo: multi-objective gradients with double sampling (Chen et al., Three-Way Trade-Off in
//! Multi-Objective Learning, NeurIPS 2023, arXiv 2305.20057).

use ndarray::Array1;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect_not_negative, expect_positive};
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::project;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// `d = J_0^T lambda`, after one step of `lambda` towards MGDA's weights by two other batches.
///
/// `lambda <- S(lambda - gamma (A lambda + rho lambda))`, `S` the nearest point of the simplex,
/// `A = J_1 J_2^T` of two batches independent of each other and of `J_0` ([`Gram::cross`]), divided
/// by its mean diagonal, so that tiny adapter gradients count like large ones; the release divides
/// by nothing. Tasks without labels keep their `lambda`; the others share the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Modo {
    /// Rate of the weights.
    pub gamma: f64,
    /// Regularisation of the weights towards equal ones.
    pub rho: f64,
}

impl Default for Modo {
    fn default() -> Self {
        Self { gamma: 0.1, rho: 0.1 }
    }
}

impl Part for Modo {
    const NAME: &'static str = "modo";
    const SUMMARY: &'static str = "steps of the weights towards MGDA's, by independent batches";

    fn example() -> Self {
        Modo::default()
    }
}

impl BalancerPart for Modo {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Chen et al., NeurIPS 2023, arXiv 2305.20057"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn needs(&self) -> &'static str {
        "Gram matrix, two extra batches"
    }

    fn cost(&self) -> &'static str {
        "3T backwards, 3T x P numbers"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram((*self).build(num_tasks)?))
    }
}

impl Modo {
    fn build(self, num_tasks: usize) -> Result<Moving> {
        expect_positive("gamma", self.gamma)?;
        expect_not_negative("rho", self.rho)?;
        let uniform = vec![1.0 / num_tasks as f64; num_tasks];
        Ok(Moving { config: self, num_tasks, state: State::new([("lambda", uniform)]) })
    }
}

/// The weights that move.
#[derive(Debug)]
struct Moving {
    config: Modo,
    num_tasks: usize,
    state: State,
}

impl GramAggregator for Moving {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.num_tasks)?;
        let gram = gram.of(info)?;
        let size = gram.diag().sum() / info.len() as f64;
        let share: f64 = info.tasks().iter().map(|task| self.state["lambda"][*task]).sum();
        let even = 1.0 / info.len() as f64;
        let of =
            |task: &usize| if share > 0.0 { self.state["lambda"][*task] / share } else { even };
        let lambda: Array1<f64> = info.tasks().iter().map(of).collect();
        let pull = if size > 0.0 { gram.dot(&lambda) / size } else { Array1::zeros(info.len()) };
        let slope = pull + &lambda * self.config.rho;
        let lambda = project(&(lambda - slope * self.config.gamma));
        for (task, value) in info.tasks().iter().zip(&lambda) {
            self.state["lambda"][*task] = value * share;
        }
        Ok(lambda.to_vec())
    }

    fn extra_batches(&self) -> usize {
        2
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
    use crate::balancers::solve::min_norm;
    use crate::balancers::testing::{agree, j2, j3, refusal, weights};

    /// G = [[18, -22], [-22, 38]], its mean diagonal 28: the slope at (1/2, 1/2) is
    /// (-2, 8) / 28 + 0.05, and the projection takes its mean off.
    #[test]
    fn one_step_goes_down_the_slope() {
        let mut balancer = Modo::default().build(2).unwrap();
        let step = 0.1 * 5.0 / 28.0;
        agree(&weights(&mut balancer, &j2()), &[0.5 + step, 0.5 - step]);
    }

    #[test]
    fn many_steps_lead_to_the_shortest_vector() {
        let mut balancer = Modo { gamma: 0.5, rho: 0.0 }.build(3).unwrap();
        (0..3000).for_each(|_| drop(weights(&mut balancer, &j3())));
        agree(&weights(&mut balancer, &j3()), &min_norm(j3().matrix()).to_vec());
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Modo>(r#"{"gamma": 0}"#);
        assert_eq!(found, "gamma: expected a finite number above 0, found 0");
    }
}
