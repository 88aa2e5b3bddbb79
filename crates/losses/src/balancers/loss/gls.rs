//! Geometric loss strategy (Chennupati et al., MultiNet++, CVPR workshops 2019, arXiv 1904.08492).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// `GLS = (prod L_i)^(1/T)`, so `w_i = GLS / (T L_i)`; losses below 1e-8 count as 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gls {}

impl Part for Gls {
    const NAME: &'static str = "gls";
    const SUMMARY: &'static str = "geometric mean of the losses";

    fn example() -> Self {
        Gls::default()
    }
}

impl BalancerPart for Gls {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Chennupati et al., CVPRW 2019, arXiv 1904.08492"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::loss(*self))
    }
}

impl LossWeighting for Gls {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        let losses = info.positive()?;
        let count = losses.len() as f64;
        let total = (losses.iter().map(|loss| loss.ln()).sum::<f64>() / count).exp();
        Ok(TaskWeights {
            weights: losses.iter().map(|loss| total / (count * loss)).collect(),
            total,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, info};

    #[test]
    fn weights_are_those_printed() {
        let weighted = Gls {}.weights(&info(&[2.0, 0.5, 1.0])).unwrap();
        agree(&weighted.weights, &[0.166667, 0.666667, 0.333333]);
        agree(&[weighted.total], &[1.0]);
    }

    #[test]
    fn a_loss_of_0_has_a_finite_weight() {
        let weighted = Gls {}.weights(&info(&[0.0, 0.5])).unwrap();
        assert!(weighted.weights.iter().all(|w| w.is_finite()));
        assert!(Gls {}.weights(&info(&[-1.0, 0.5])).is_err());
    }
}
