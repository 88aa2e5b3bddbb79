//! Auto-lambda (Liu, James, Davison, Johns, TMLR 2022, arXiv 2202.03091).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_positive};
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// Weights that rise where learning a task also helps the primary ones.
///
/// A virtual step down `sum_i w_i L_i` is judged by the primary tasks' losses on a second batch,
/// whose gradient is `v`. The gain of task `i` is `lr g_i . v`, by how much they fall where its
/// weight rises by 1; Adam moves the weights up their gains, and the step itself is done with the
/// weights so moved. Without a label of a primary task in the second batch they stay.
///
/// Three backward and five forward passes a step, and a copy of the trainable parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AutoLambda {
    /// Every weight at the start.
    pub init: f64,
    /// Learning rate of the weights.
    pub lr: f64,
    /// Tasks by name whose good decides; all of them where the list is empty.
    pub primary: Vec<String>,
    /// Whether weights may fall below 0, as in the released code.
    pub negative: bool,
}

impl Default for AutoLambda {
    fn default() -> Self {
        Self { init: 0.1, lr: 1e-4, primary: Vec::new(), negative: false }
    }
}

impl Part for AutoLambda {
    const NAME: &'static str = "auto_lambda";
    const SUMMARY: &'static str = "weights that rise where a task also helps the primary ones";

    fn example() -> Self {
        AutoLambda::default()
    }
}

impl BalancerPart for AutoLambda {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Liu et al., TMLR 2022, arXiv 2202.03091"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn needs(&self) -> &'static str {
        "losses, a second batch"
    }

    fn cost(&self) -> &'static str {
        "3 backwards, 5 forwards, a copy of what trains"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss(self.clone().build(num_tasks)?))
    }
}

impl AutoLambda {
    fn build(self, num_tasks: usize) -> Result<Looking> {
        expect(self.negative || self.init >= 0.0, "init", "a number of 0 or more", self.init)?;
        expect(self.init.is_finite(), "init", "a finite number", self.init)?;
        expect_positive("lr", self.lr)?;
        Ok(Looking { lambda: TaskNumbers::new(num_tasks, self.init, self.lr, 0.0), config: self })
    }
}

/// The weights.
#[derive(Debug)]
pub(crate) struct Looking {
    config: AutoLambda,
    lambda: TaskNumbers,
}

impl Looking {
    /// The weights behind the batch's gains: nothing is kept before the step is done.
    fn moved(&self, info: &StepInfo) -> TaskNumbers {
        let mut lambda = self.lambda.clone();
        if let Some(gains) = info.gains() {
            let slopes: Vec<f64> = gains.iter().map(|gain| -gain).collect();
            lambda.descend(info.tasks(), &slopes);
        }
        if !self.config.negative {
            let values = lambda.values(info.tasks());
            let kept: Vec<f64> = values.iter().map(|value| value.max(0.0)).collect();
            lambda.set(info.tasks(), &kept);
        }
        lambda
    }
}

impl LossWeighting for Looking {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.lambda.len())?;
        Ok(TaskWeights::of(self.moved(info).values(info.tasks()), info))
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.lambda.len())?;
        self.lambda = self.moved(info);
        Ok(())
    }

    fn primary(&self) -> Option<&[String]> {
        Some(&self.config.primary)
    }

    fn state(&self) -> Option<&State> {
        Some(&self.lambda.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.lambda.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, refusal};

    #[test]
    fn the_useful_task_goes_up_and_the_harmful_one_down() {
        let mut balancer = AutoLambda::default().build(2).unwrap();
        let judged = info(&[0.125, 6.25]).with_gains(&[0.02725, -0.2725]).unwrap();
        agree(&balancer.weights(&judged).unwrap().weights, &[0.1001, 0.0999]);
        agree(&balancer.lambda.values(&[0, 1]), &[0.1, 0.1]);
        balancer.after_step(&judged, None).unwrap();
        agree(&balancer.lambda.values(&[0, 1]), &[0.1001, 0.0999]);
        // Without gains nothing moves.
        balancer.after_step(&info(&[0.125, 6.25]), None).unwrap();
        agree(&balancer.lambda.values(&[0, 1]), &[0.1001, 0.0999]);
    }

    #[test]
    fn weights_end_at_0_unless_they_may_be_negative() {
        for (negative, least) in [(false, 0.0), (true, -0.1)] {
            let config = AutoLambda { lr: 0.1, negative, ..AutoLambda::default() };
            let mut balancer = config.build(2).unwrap();
            for _ in 0..2 {
                let judged = info(&[1.0, 1.0]).with_gains(&[1.0, -1.0]).unwrap();
                balancer.after_step(&judged, None).unwrap();
            }
            agree(&balancer.lambda.values(&[0, 1]), &[0.3, least]);
        }
    }

    #[test]
    fn tasks_without_labels_keep_their_weight() {
        let mut balancer = AutoLambda::default().build(3).unwrap();
        let two = StepInfo::new(3, &[0, 2], &[1.0, 1.0], StepSeed { seed: 0, step: 0 }).unwrap();
        balancer.after_step(&two.with_gains(&[1.0, 1.0]).unwrap(), None).unwrap();
        agree(&balancer.lambda.values(&[0, 1, 2]), &[0.1001, 0.1, 0.1001]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<AutoLambda>(r#"{"lr": 0}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found 0");
        let found = refusal::<AutoLambda>(r#"{"init": -1}"#);
        assert_eq!(found, "init: expected a number of 0 or more, found -1");
    }
}
