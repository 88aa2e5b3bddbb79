//! Weighted losses and their one backward pass.

use polyptych_losses::balancers::{StepInfo, StepSeed};
use polyptych_tensor::optim::clip_grad_norm;
use polyptych_tensor::{GradScaler, Tensor};

use super::numbers::numbers;
use super::step::labelled_tasks;
use super::{StepInputs, TaskBalancer};
use crate::Result;

impl TaskBalancer {
    /// The weighted sum of the losses, for a virtual step.
    ///
    /// # Errors
    /// As [`TaskBalancer::backward`], and for a loss that is not finite.
    pub(crate) fn virtual_total(
        &self,
        losses: &[Tensor],
        labelled: &[bool],
        step: u64,
    ) -> Result<Tensor> {
        let tasks = labelled_tasks(labelled);
        if tasks.is_empty() {
            return Ok(weighed_total(losses, &[], &[]));
        }
        let all = numbers(losses)?;
        let own: Vec<f64> = tasks.iter().map(|&task| all[task]).collect();
        let info = StepInfo::new(losses.len(), &tasks, &own, StepSeed { seed: self.seed, step })?;
        let weights = self.balancer.loss_weights(&info)?.weights;
        Ok(weighed_total(losses, &tasks, &weights))
    }

    pub(super) fn weights_of_one_pass(&self, info: &StepInfo) -> Result<Option<Vec<f64>>> {
        match self.aggregates() {
            true => Ok(self.balancer.reuse(info)?),
            false if self.by_task => Ok(None),
            false => Ok(Some(self.balancer.loss_weights(info)?.weights)),
        }
    }

    /// One backward pass of the sum of weighted losses. Losses of tasks without labels are 0: they
    /// stay in the sum, so that it is the sum that a recipe without balancer has.
    pub(super) fn one_pass(
        &self,
        inputs: StepInputs,
        tasks: &[usize],
        weights: &[f64],
    ) -> Result<f64> {
        let total = weighed_total(inputs.losses, tasks, weights);
        backward(&total, inputs.scaler, &self.params)?;
        self.clip_shared();
        Ok(total.double_value(&[]))
    }

    /// Shortens the shared gradient to what the method allows.
    pub(super) fn clip_shared(&self) {
        if let (Some(max), Some(found)) = (self.balancer.max_norm(), &self.prepared) {
            let shared = found.sharing.shared.iter().map(|shared| {
                let (name, param) = &self.params[shared.index];
                (name.clone(), param.shallow_clone())
            });
            clip_grad_norm(&shared.collect::<Vec<_>>(), max);
        }
    }
}

/// The sum of all losses, those of `tasks` times their weights.
fn weighed_total(losses: &[Tensor], tasks: &[usize], weights: &[f64]) -> Tensor {
    let weight =
        |task: usize| tasks.iter().position(|&own| own == task).map_or(1.0, |place| weights[place]);
    let terms = losses.iter().enumerate().map(|(task, loss)| loss * weight(task));
    terms.reduce(|sum, term| sum + term).expect("a recipe has at least one task")
}

/// Fills the gradients of `params` with those of `loss`, whose backward pass `scaler` scales.
///
/// # Errors
/// What LibTorch reports.
pub(crate) fn backward(
    loss: &Tensor,
    scaler: Option<&GradScaler>,
    params: &[(String, Tensor)],
) -> Result<()> {
    let Some(scaler) = scaler else { return Ok(loss.f_backward()?) };
    (loss * scaler.scale()).f_backward()?;
    Ok(scaler.unscale(params)?)
}
