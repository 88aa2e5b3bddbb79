//! Weighted losses and their one backward pass.

use polyptych_distributed::GradientBuckets;
use polyptych_tensor::{GradScaler, Tensor};

use super::shared_clip::SharedClip;
use super::step::StepLosses;
use crate::Result;
use crate::training::reduce::summed;

/// One backward pass of the sum of weighted losses; the sum. Losses of tasks without labels are 0:
/// they stay in the sum, so that it is the sum that a recipe without balancer has.
///
/// # Errors
/// What LibTorch reports.
pub(super) fn one_pass(
    inputs: StepLosses,
    tasks: &[usize],
    weights: &[f64],
    params: &[(String, Tensor)],
    clip: Option<&SharedClip>,
) -> Result<Tensor> {
    let total = weighted_total(inputs.losses, tasks, weights);
    backward(&total, inputs.scaler, inputs.buckets, params)?;
    if let Some(clip) = clip {
        clip.apply();
    }
    Ok(total.detach())
}

/// The sum of all losses, those of `tasks` times their weights.
pub(super) fn weighted_total(losses: &[Tensor], tasks: &[usize], weights: &[f64]) -> Tensor {
    let weight =
        |task: usize| tasks.iter().position(|&own| own == task).map_or(1.0, |place| weights[place]);
    let terms = losses.iter().enumerate().map(|(task, loss)| loss * weight(task));
    terms.reduce(|sum, term| sum + term).expect("a recipe has at least one task")
}

/// Fills the gradients of `params` with those of `loss`, of all ranks together; `scaler` scales the
/// backward pass.
///
/// # Errors
/// What LibTorch reports, or a rank that is gone.
pub(crate) fn backward(
    loss: &Tensor,
    scaler: Option<&GradScaler>,
    buckets: Option<&GradientBuckets>,
    params: &[(String, Tensor)],
) -> Result<()> {
    let Some(scaler) = scaler else { return summed(buckets, || Ok(loss.f_backward()?)) };
    summed(buckets, || Ok((loss * scaler.scale()).f_backward()?))?;
    Ok(scaler.unscale(params)?)
}
