//! DualProj: the projected mean (Lopez-Paz and Ranzato, Gradient Episodic Memory, NeurIPS 2017,
//! arXiv 1706.08840).

use ndarray::Array1;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_not_negative;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::cone::{projected, regularized};
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// The mean of the task gradients, projected once on the cone of directions that no task loses by.
///
/// Constants as for UPGrad.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dualproj {
    /// A matrix with a smaller trace counts as zeros.
    pub norm_eps: f64,
    /// What is added to the diagonal of `G / trace`.
    pub reg_eps: f64,
}

impl Part for Dualproj {
    const NAME: &'static str = "dualproj";
    const SUMMARY: &'static str = "the mean of task gradients, projected on the dual cone";

    fn example() -> Self {
        Dualproj::default()
    }
}

impl BalancerPart for Dualproj {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Lopez-Paz, Ranzato, NeurIPS 2017, arXiv 1706.08840"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        self.validate()?;
        Ok(Method::gram(*self))
    }
}

impl Dualproj {
    pub(crate) fn validate(&self) -> Result<()> {
        expect_not_negative("norm_eps", self.norm_eps)?;
        expect_not_negative("reg_eps", self.reg_eps)
    }
}

impl GramAggregator for Dualproj {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let matrix = regularized(gram, self.norm_eps, self.reg_eps);
        let mean = Array1::from_elem(info.len(), 1.0 / info.len() as f64);
        Ok(projected(&matrix, &mean).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;
    use crate::balancers::testing::{
        agree, direction, gram, j2, j3, never_harms, random_rows, rows2, weights,
    };

    #[test]
    fn weights_are_those_printed() {
        let w = weights(&mut Dualproj::default(), &j2());
        agree(&w, &[0.611111, 0.5]);
        agree(&direction(&rows2(), &w), &[0.555556, 1.111111, 1.111111]);
        agree(&weights(&mut Dualproj::default(), &j3()), &[1.0 / 3.0; 3]);
    }

    #[test]
    fn no_task_loses_and_the_mean_moves_least() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 4, 5);
            let gram = gram(&rows);
            let w = weights(&mut Dualproj::default(), &gram);
            let products = gram.matrix().dot(&arr1(&w));
            assert!(products.iter().all(|v| *v >= -1e-9), "{seed}");
            // Complementary slackness: a task gradient was added only where it became orthogonal to
            // d.
            assert!(w.iter().zip(products).all(|(w, p)| *w < 0.25 + 1e-12 || p < 1e-8), "{seed}");
        }
    }

    #[test]
    fn no_task_is_harmed() {
        never_harms(Dualproj::default());
    }
}
