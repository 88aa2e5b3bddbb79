//! What a balancer knows about a step.

use polyptych_losses::balancers::{StepInfo, StepSeed};
use polyptych_tensor::{Kind, Tensor};

use super::gradients::{GradOptions, gradients};
use super::numbers::numbers;
use super::step::StepLosses;
use super::task_balancer::TaskBalancer;
use crate::Result;

/// What the balancer knows about a step of `tasks`; `norms_over`: the parameters over which it asks
/// for norms of gradients, if it does.
///
/// # Errors
/// A loss, gain or norm that is not finite.
pub(super) fn step_info(
    balancer: &TaskBalancer,
    norms_over: Option<&[Tensor]>,
    inputs: StepLosses,
    tasks: &[usize],
) -> Result<StepInfo> {
    let own = |all: &[f64]| tasks.iter().map(|&task| all[task]).collect::<Vec<f64>>();
    let seed = StepSeed { seed: balancer.seed, step: inputs.step };
    let losses = own(&numbers(inputs.losses)?);
    let mut info = StepInfo::new(inputs.losses.len(), tasks, &losses, seed)?;
    if let Some(gains) = inputs.gains {
        info = info.with_gains(&own(gains))?;
    }
    if let Some(params) = norms_over {
        info = info.with_norms(&norms(params, inputs, tasks)?)?;
    }
    Ok(info)
}

/// Lengths of the gradients of `tasks` by `params`; the graphs stay.
fn norms(params: &[Tensor], inputs: StepLosses, tasks: &[usize]) -> Result<Vec<f64>> {
    let wanted: Vec<&Tensor> = params.iter().collect();
    let options = GradOptions { ranks: inputs.ranks, scale: inputs.scale(), retain_graph: true };
    let one = |&task: &usize| -> Result<f64> {
        let found = gradients(&inputs.losses[task], &wanted, options)?.into_iter();
        let squares = found.filter(Tensor::defined).map(|grad| {
            grad.detach().to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])
        });
        Ok(squares.sum::<f64>().sqrt())
    };
    tasks.iter().map(one).collect()
}
