//! MGDA-UB: the upper bound of MGDA (Sener and Koltun, NeurIPS 2018, arXiv 1810.04650, equation 7).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::aggregator::{FeatureGradients, GramAggregator};
use crate::balancers::gradient::gram::Gram;
use crate::balancers::gradient::mgda::{Mgda, Normalization};
use crate::balancers::part::{BalancerKind, BalancerPart, Method, PrivateGrad};
use crate::balancers::step_info::StepInfo;

/// MGDA's weights of `dL_i / dZ`, `Z` the representation that all tasks read.
///
/// The gradients end at `Z`, so a step costs one pass through each head and one through the trunk.
/// Where tasks have features of their own there is no common `Z`: the engine refuses the method
/// then, and `mgda` is the one to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MgdaUb {
    /// What task gradients are divided by before the weights are sought.
    pub normalization: Normalization,
    /// What a task gradient is made of.
    pub rows: FeatureGradients,
}

impl Part for MgdaUb {
    const NAME: &'static str = "mgda_ub";
    const SUMMARY: &'static str = "MGDA of gradients by features that all tasks read";

    fn example() -> Self {
        MgdaUb::default()
    }
}

impl BalancerPart for MgdaUb {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Features
    }

    fn source(&self) -> &'static str {
        "Sener, Koltun, NeurIPS 2018, arXiv 1810.04650"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn private_grad(&self) -> PrivateGrad {
        PrivateGrad::Weighted
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(*self))
    }
}

impl GramAggregator for MgdaUb {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        Mgda { normalization: self.normalization }.weights(gram, info)
    }

    fn features(&self) -> Option<FeatureGradients> {
        Some(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, direction, j3, rows3, weights};

    /// `dZ / dtheta = diag(1, 2, 0.5, 1)`: `d` is MGDA's in `Z`, carried back.
    #[test]
    fn weights_are_those_of_the_representation() {
        let w = weights(&mut MgdaUb::default(), &j3());
        agree(&w, &[0.393078, 0.444638, 0.162284]);
        let jacobian = ndarray::arr2(&[[1.0, 2.0, 0.5, 1.0]]);
        let d = direction(&(rows3() * jacobian), &w);
        agree(&d, &[0.191209, 0.763043, 0.228980, 0.111072]);
        let normalization = Normalization::L2;
        let w = weights(&mut MgdaUb { normalization, ..MgdaUb::default() }, &j3());
        agree(&w, &[0.267008, 0.361830, 0.371162]);
    }
}
