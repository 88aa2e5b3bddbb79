//! Uncertainty weighting (Kendall, Gal, Cipolla, CVPR 2018, arXiv 1705.07115).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_positive};
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::trainable::{Objective, Term, Trainable};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// `sum_i ( 1/2 exp(-s_i) L_i + 1/2 s_i )` with learned `s_i = log sigma_i^2`.
///
/// For fixed losses the optimum is `s_i = log L_i`, where every weighted loss is 1/2. The form is
/// the same for all tasks: that of classification differs by a constant factor. The `s_i` have an
/// Adam of their own, without weight decay, so that they do not depend on the model's optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Uw {
    /// Value of every `s_i` at the start: 0, where all weights are 1/2. LibMTL has -0.5.
    pub init: f64,
    /// Learning rate of the `s_i`; ours, as releases take the model's.
    pub lr: f64,
}

impl Default for Uw {
    fn default() -> Self {
        Self { init: 0.0, lr: 1e-3 }
    }
}

impl Part for Uw {
    const NAME: &'static str = "uw";
    const SUMMARY: &'static str =
        "uncertainty weighting: every loss over twice a trainable variance";

    fn example() -> Self {
        Uw::default()
    }
}

impl BalancerPart for Uw {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Kendall et al., CVPR 2018, arXiv 1705.07115"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Uw {
    fn build(self, num_tasks: usize) -> Result<Trainable<Uncertainty>> {
        expect(self.init.is_finite(), "init", "a finite number", self.init)?;
        expect_positive("lr", self.lr)?;
        let numbers = TaskNumbers::new(num_tasks, self.init, self.lr, 0.0);
        Ok(Trainable::new(Uncertainty, numbers))
    }
}

/// The objective, whose trainable numbers are log-variances.
#[derive(Debug)]
pub(crate) struct Uncertainty;

impl Objective for Uncertainty {
    fn losses(&self, info: &StepInfo) -> Result<Vec<f64>> {
        Ok(info.not_negative()?.to_vec())
    }

    fn term(&self, s: f64, loss: f64) -> Term {
        let weight = 0.5 * (-s).exp();
        let weighted = weight * loss;
        Term { value: weighted + 0.5 * s, by_loss: weight, by_number: 0.5 - weighted }
    }
}

#[cfg(test)]
mod tests {
    // Printed digits may look like a constant.
    #![allow(clippy::approx_constant)]

    use super::*;
    use crate::balancers::loss::LossWeighting;
    use crate::balancers::testing::{agree, info, refusal};

    const LOSSES: [f64; 3] = [2.0, 0.5, 1.0];

    #[test]
    fn weights_and_totals_are_those_printed() {
        let at = |init| Uw { init, lr: 1e-3 }.build(3).unwrap().weights(&info(&LOSSES)).unwrap();
        agree(&at(0.0).weights, &[0.5; 3]);
        agree(&[at(0.0).total], &[1.75]);
        agree(&at(-0.5).weights, &[0.824361; 3]);
        agree(&[at(-0.5).total], &[2.135262]);
    }

    #[test]
    fn the_first_step_goes_down_the_printed_slopes() {
        let slopes = |init, expected: [f64; 3]| {
            let mut balancer = Uw { init, lr: 1e-3 }.build(3).unwrap();
            balancer.after_step(&info(&LOSSES), None).unwrap();
            // Adam's first moment is a tenth of the first slope.
            let first: Vec<f64> =
                balancer.state().unwrap()["first_moment"].iter().map(|m| m * 10.0).collect();
            agree(&first, &expected);
        };
        slopes(0.0, [-0.5, 0.25, 0.0]);
        slopes(-0.5, [-1.148721, 0.087820, -0.324361]);
    }

    #[test]
    fn fixed_losses_lead_to_their_logarithms() {
        let mut balancer = Uw { init: 0.0, lr: 1e-2 }.build(3).unwrap();
        for _ in 0..3000 {
            balancer.after_step(&info(&LOSSES), None).unwrap();
        }
        agree(&balancer.numbers.values(&[0, 1, 2]), &[0.693147, -0.693147, 0.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Uw>(r#"{"lr": 0.0}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found 0");
    }
}
