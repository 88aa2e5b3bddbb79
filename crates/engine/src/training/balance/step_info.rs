//! What a balancer knows about a step.

use polyptych_losses::balancers::loss::NormsOver;
use polyptych_losses::balancers::{StepInfo, StepSeed};
use polyptych_tensor::{Kind, Tensor};

use super::grad::gradients;
use super::numbers::numbers;
use super::{StepInputs, TaskBalancer, last_block};
use crate::Result;

impl TaskBalancer {
    /// What the balancer knows about the step.
    pub(super) fn step_info(&self, inputs: StepInputs, tasks: &[usize]) -> Result<StepInfo> {
        let own = |all: &[f64]| tasks.iter().map(|&task| all[task]).collect::<Vec<f64>>();
        let key = StepSeed { seed: self.seed, step: inputs.step };
        let losses = own(&numbers(inputs.losses)?);
        let mut info = StepInfo::new(inputs.losses.len(), tasks, &losses, key)?;
        if let Some(gains) = inputs.gains {
            info = info.with_gains(&own(gains))?;
        }
        if let Some(over) = self.balancer.norms_over() {
            info = info.with_norms(&self.norms(over, inputs, tasks)?)?;
        }
        Ok(info)
    }

    /// Lengths of the gradients of `tasks`, whose graphs stay.
    fn norms(&self, over: NormsOver, inputs: StepInputs, tasks: &[usize]) -> Result<Vec<f64>> {
        let sharing = &self.prepared.as_ref().expect("prepare comes first").sharing;
        let indices = match over {
            NormsOver::LastBlock => {
                last_block::last_block(sharing, inputs.losses.len(), &self.params)
            }
            NormsOver::All => last_block::all(sharing, inputs.losses.len()),
        };
        let wanted: Vec<&Tensor> = indices.iter().map(|&index| &self.params[index].1).collect();
        let one = |&task: &usize| -> Result<f64> {
            let found = gradients(&inputs.losses[task], &wanted, (inputs.scale(), true))?;
            let found = found.into_iter();
            let squares = found.filter(Tensor::defined).map(|grad| {
                grad.detach().to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])
            });
            Ok(squares.sum::<f64>().sqrt())
        };
        tasks.iter().map(one).collect()
    }
}
