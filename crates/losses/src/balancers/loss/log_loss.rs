//! Logarithms of losses: the loss part of DB-MTL (Lin et al., arXiv 2308.12029).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// `sum_i log(L_i + 1e-8)`, so `w_i = 1 / (L_i + 1e-8)`: a loss's scale has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLoss {}

impl Part for LogLoss {
    const NAME: &'static str = "log_loss";
    const SUMMARY: &'static str = "sum of the logarithms of losses";

    fn example() -> Self {
        LogLoss::default()
    }
}

impl BalancerPart for LogLoss {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Lin et al., arXiv 2308.12029, loss part"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::loss(*self))
    }
}

impl LossWeighting for LogLoss {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        let shifted: Vec<f64> = info.not_negative()?.iter().map(|loss| loss + 1e-8).collect();
        let total = shifted.iter().map(|loss| loss.ln()).sum();
        Ok(TaskWeights { weights: shifted.iter().map(|loss| 1.0 / loss).collect(), total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, info};

    #[test]
    fn weights_are_inverse_losses() {
        let weighted = LogLoss {}.weights(&info(&[2.0, 0.5, 1.0])).unwrap();
        agree(&weighted.weights, &[0.5, 2.0, 1.0]);
        agree(&[weighted.total], &[0.0]);
        let weighted = LogLoss {}.weights(&info(&[0.0])).unwrap();
        assert_eq!(weighted.weights, [1e8]);
    }
}
