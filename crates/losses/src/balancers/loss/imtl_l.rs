//! IMTL-L: scaled losses become equal (Liu et al., ICLR 2021, Towards Impartial Multi-task
//! Learning).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_positive;
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::trainable::{Objective, Term, Trainable};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// `sum_i ( exp(s_i) L_i - s_i )` with trainable `s_i`, 0 at the start.
///
/// The optimum is `s_i = -log L_i`, where every scaled loss is 1; losses below 1e-8 count as
/// 1e-8. The paper allows any base above 1; ours is e. The `s_i` have an Adam of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImtlL {
    /// Learning rate of the `s_i`; ours, as releases take the model's.
    pub lr: f64,
}

impl Default for ImtlL {
    fn default() -> Self {
        Self { lr: 1e-3 }
    }
}

impl Part for ImtlL {
    const NAME: &'static str = "imtl_l";
    const SUMMARY: &'static str = "impartial loss weighting: trainable scales make losses equal";

    fn example() -> Self {
        ImtlL::default()
    }
}

impl BalancerPart for ImtlL {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Liu et al., ICLR 2021, IMTL"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl ImtlL {
    fn build(self, num_tasks: usize) -> Result<Trainable<Impartial>> {
        expect_positive("lr", self.lr)?;
        Ok(Trainable::new(Impartial, TaskNumbers::new(num_tasks, 0.0, self.lr, 0.0)))
    }
}

/// The objective, whose trainable numbers are logarithms of scales.
#[derive(Debug)]
pub(crate) struct Impartial;

impl Objective for Impartial {
    fn losses(&self, info: &StepInfo) -> Result<Vec<f64>> {
        info.positive()
    }

    fn term(&self, s: f64, loss: f64) -> Term {
        let weight = s.exp();
        let weighted = weight * loss;
        Term { value: weighted - s, by_loss: weight, by_number: weighted - 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::loss::{LossWeighting, TaskWeights};
    use crate::balancers::testing::{agree, info, refusal};

    #[test]
    fn the_first_step_is_that_printed() {
        let mut balancer = ImtlL::default().build(3).unwrap();
        let info = info(&[2.0, 0.5, 1.0]);
        let weighted = balancer.weights(&info).unwrap();
        assert_eq!(weighted, TaskWeights { weights: vec![1.0; 3], total: 3.5 });
        balancer.after_step(&info, None).unwrap();
        let slopes: Vec<f64> =
            balancer.state().unwrap()["first_moment"].iter().map(|m| m * 10.0).collect();
        agree(&slopes, &[1.0, -0.5, 0.0]);
    }

    #[test]
    fn scaled_losses_become_1() {
        let mut balancer = ImtlL { lr: 1e-2 }.build(3).unwrap();
        let info = info(&[2.0, 0.5, 1.0]);
        for _ in 0..3000 {
            balancer.after_step(&info, None).unwrap();
        }
        let weights = balancer.weights(&info).unwrap().weights;
        agree(&weights, &[0.5, 2.0, 1.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<ImtlL>(r#"{"lr": -1}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found -1");
    }
}
