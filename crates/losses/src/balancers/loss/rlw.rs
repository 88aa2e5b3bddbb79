//! Random loss weighting (Lin et al., TMLR 2022, arXiv 2111.10603).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::softmax;
use crate::balancers::step_info::StepInfo;

/// `w = softmax(z)`, `z` standard normal and fresh in each step; the weights sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rlw {}

impl Part for Rlw {
    const NAME: &'static str = "rlw";
    const SUMMARY: &'static str = "random loss weighting";

    fn example() -> Self {
        Rlw::default()
    }
}

impl BalancerPart for Rlw {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Lin et al., TMLR 2022, arXiv 2111.10603"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn is_random(&self) -> bool {
        true
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::loss(*self))
    }
}

impl LossWeighting for Rlw {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        // All tasks draw, so that one without labels does not move the draws of the others.
        let all = info.seed().normals(1, info.num_tasks());
        let z: Vec<f64> = info.tasks().iter().map(|task| all[*task]).collect();
        Ok(TaskWeights::of(softmax(&z), info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::agree;

    #[test]
    fn weights_are_a_softmax() {
        agree(&softmax(&[0.3, -1.2, 0.5]), &[0.409076, 0.091277, 0.499647]);
    }

    #[test]
    fn every_step_has_its_own_weights() {
        let at = |step| {
            let info = StepInfo::full(&[1.0; 3], StepSeed { seed: 5, step }).unwrap();
            Rlw {}.weights(&info).unwrap().weights
        };
        assert_eq!(at(7), at(7));
        assert_ne!(at(7), at(8));
        agree(&[at(9).iter().sum()], &[1.0]);
    }
}
