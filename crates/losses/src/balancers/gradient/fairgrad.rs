//! FairGrad (Ban and Ji, ICML 2024, arXiv 2402.15638).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_positive;
use crate::balancers::gradient::bargain::Bargain;
use crate::balancers::part::{BalancerKind, BalancerPart, Method, PrivateGrad};

/// `d = J^T w` with `w > 0` and `G w = w^(-1/alpha)`: fair in the sense of `alpha`.
///
/// 1 is Nash-MTL without its limit of length; large values favour the task that gains least.
/// Task gradients of length 0 and Pareto-stationary points are treated as by Nash-MTL.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fairgrad {
    /// The kind of fairness, above 0.
    pub alpha: f64,
}

impl Default for Fairgrad {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Part for Fairgrad {
    const NAME: &'static str = "fairgrad";
    const SUMMARY: &'static str = "alpha-fair gains of the tasks";

    fn example() -> Self {
        Fairgrad::default()
    }
}

impl BalancerPart for Fairgrad {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Ban, Ji, ICML 2024, arXiv 2402.15638"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn private_grad(&self) -> PrivateGrad {
        PrivateGrad::Weighted
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram((*self).build(num_tasks)?))
    }
}

impl Fairgrad {
    fn build(self, num_tasks: usize) -> Result<Bargain> {
        expect_positive("alpha", self.alpha)?;
        Ok(Bargain::new(num_tasks, self.alpha))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::balancers::gradient::gram::Gram;
    use crate::balancers::testing::{agree, gram, j2, j3, refusal, weights};

    fn fair(alpha: f64, gram: &Gram) -> Vec<f64> {
        weights(&mut Fairgrad { alpha }.build(gram.matrix().nrows()).unwrap(), gram)
    }

    #[test]
    fn weights_are_those_printed() {
        agree(&fair(1.0, &j2()), &[0.591461, 0.407071]);
        agree(&fair(2.0, &j2()), &[0.471363, 0.319454]);
        agree(&fair(2.0, &j3()), &[0.996176, 1.124534, 0.474155]);
    }

    #[test]
    fn rows_of_length_0_have_weight_0() {
        let found = fair(1.0, &gram(&ndarray::arr2(&[[0.0, 0.0], [2.0, 0.0]])));
        agree(&found, &[0.0, 0.5]);
        assert_eq!(fair(1.0, &gram(&Array2::zeros((2, 3)))), [0.0, 0.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Fairgrad>(r#"{"alpha": 0}"#);
        assert_eq!(found, "alpha: expected a finite number above 0, found 0");
    }
}
