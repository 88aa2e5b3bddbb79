//! Equal weighting: fixed weights.

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::expect_not_negative;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::reduction::Reduction;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// `sum_i w_i L_i`, or its `1 / T`.
///
/// LibMTL's text says mean, its code sums; the sum is the default here too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ew {
    /// A weight for each task, in the order of tasks; all 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// Whether to divide by the number of tasks that have labels.
    #[serde(default = "sum")]
    pub reduction: Reduction,
}

fn sum() -> Reduction {
    Reduction::Sum
}

impl Default for Ew {
    fn default() -> Self {
        Self { weights: None, reduction: Reduction::Sum }
    }
}

impl Part for Ew {
    const NAME: &'static str = "ew";
    const SUMMARY: &'static str = "fixed weights";

    fn example() -> Self {
        Ew::default()
    }
}

impl BalancerPart for Ew {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "fixed weights"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss(self.clone().build(num_tasks)?))
    }
}

impl Ew {
    fn build(self, num_tasks: usize) -> Result<Fixed> {
        let weights = self.weights.unwrap_or_else(|| vec![1.0; num_tasks]);
        for (task, weight) in weights.iter().enumerate() {
            expect_not_negative(&format!("weights[{task}]"), *weight)?;
        }
        if weights.len() == num_tasks {
            return Ok(Fixed { weights, reduction: self.reduction });
        }
        let found = format!("{} for {num_tasks} tasks", weights.len());
        Err(Error::Config { key: "weights".into(), expected: "a weight for each task", found })
    }
}

/// Checked weights.
#[derive(Debug)]
pub(crate) struct Fixed {
    weights: Vec<f64>,
    reduction: Reduction,
}

impl LossWeighting for Fixed {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.weights.len())?;
        let factor = self.reduction.factor(info.len());
        Ok(TaskWeights::of(
            info.tasks().iter().map(|task| factor * self.weights[*task]).collect(),
            info,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, direction, info, rows2, rows3};

    fn weight(config: Ew) -> TaskWeights {
        config.build(3).unwrap().weights(&info(&[2.0, 0.5, 1.0])).unwrap()
    }

    #[test]
    fn sum_and_mean_are_those_of_the_rows() {
        agree(&direction(&rows3(), &weight(Ew::default()).weights), &[0.8, -0.1, 2.3, 0.4]);
        let mean = weight(Ew { reduction: Reduction::Mean, ..Ew::default() });
        agree(&direction(&rows3(), &mean.weights), &[0.266667, -0.033333, 0.766667, 0.133333]);
        agree(&direction(&rows2(), &[1.0, 1.0]), &[2.0, 2.0, 2.0]);
    }

    #[test]
    fn weights_are_one_for_each_task() {
        let weighted = weight(Ew { weights: Some(vec![1.0, 2.0, 50.0]), ..Ew::default() });
        assert_eq!((weighted.weights, weighted.total), (vec![1.0, 2.0, 50.0], 53.0));
        let message = |weights: &[f64]| {
            let config = Ew { weights: Some(weights.to_vec()), ..Ew::default() };
            config.build(2).unwrap_err().to_string()
        };
        assert_eq!(
            message(&[1.0]),
            "weights: expected a weight for each task, found 1 for 2 tasks"
        );
        let found = message(&[1.0, -1.0]);
        assert_eq!(found, "weights[1]: expected a finite number of 0 or more, found -1");
    }
}
