//! From the losses of a step to gradients in the parameters.

use polyptych_losses::balancers::StepInfo;
use polyptych_tensor::optim::TaskGradients;

use super::feature_gradients;
use super::numbers::{finite, numbers};
use super::one_pass::one_pass;
use super::parameter_sharing::{ParameterSharing, SharedParams};
use super::prepared::{GradientSource, Prepared};
use super::shared_clip::SharedClip;
use super::step::{BalancedStep, Clipping, StepLosses};
use super::step_info::step_info;
use super::task_balancer::TaskBalancer;
use super::task_gradients::TaskGradientStore;
use crate::Result;

/// A balancer that knows the shared parameters, for one step.
#[derive(Debug)]
pub(crate) struct PreparedBalancer<'a> {
    pub(crate) balancer: &'a mut TaskBalancer,
    pub(crate) prepared: &'a mut Prepared,
}

impl PreparedBalancer<'_> {
    /// Puts the gradients of a step into the parameters, whose gradients are 0 or none before;
    /// nothing is returned, and nothing remembered, where a number is not finite.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn backward(&mut self, inputs: StepLosses) -> Result<Option<BalancedStep>> {
        finite(self.try_backward(inputs))
    }

    /// Collects the task gradients of one of the extra batches, the first one at `index` 0; nothing
    /// where the method does not look at task gradients.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect_extra(&mut self, index: usize, inputs: StepLosses) -> Result<()> {
        match &mut self.prepared.source {
            GradientSource::Tasks(store) => {
                store.collect_extra(index, inputs, &self.balancer.params)
            }
            GradientSource::WeightedSum | GradientSource::Features(_) => Ok(()),
        }
    }

    fn try_backward(&mut self, inputs: StepLosses) -> Result<BalancedStep> {
        let (balancer, clip) = (&mut *self.balancer, self.prepared.clip.as_ref());
        let tasks = inputs.tasks();
        if tasks.is_empty() {
            numbers(inputs.losses)?;
            let total = one_pass(inputs, &[], &[], &balancer.params, clip)?;
            let weights = Vec::new();
            return Ok(BalancedStep { info: None, total, weights, conflict: None, by_task: None });
        }
        let info = step_info(balancer, self.prepared.norms.as_deref(), inputs, &tasks)?;
        match &mut self.prepared.source {
            GradientSource::WeightedSum => of_weighted_sum(balancer, inputs, info, clip),
            GradientSource::Features(sharing) => of_features(balancer, sharing, inputs, info, clip),
            GradientSource::Tasks(store) => of_tasks(balancer, store, inputs, info, clip),
        }
    }
}

/// Every task's gradients of `step`, whose sum was clipped, for an optimiser that takes them apart.
pub(crate) fn gradients_by_task(
    balancer: &TaskBalancer,
    prepared: &Prepared,
    step: &BalancedStep,
    clipping: Clipping,
) -> Vec<TaskGradients> {
    match (&prepared.source, &step.info, &step.by_task) {
        (GradientSource::Tasks(store), Some(info), Some(weights)) => {
            store.by_task(&balancer.params, info, weights, clipping)
        }
        _ => Vec::new(),
    }
}

fn of_weighted_sum(
    balancer: &TaskBalancer,
    inputs: StepLosses,
    info: StepInfo,
    clip: Option<&SharedClip>,
) -> Result<BalancedStep> {
    let weights = balancer.balancer.loss_weights(&info)?.weights;
    let total = one_pass(inputs, info.tasks(), &weights, &balancer.params, clip)?;
    Ok(BalancedStep { info: Some(info), total, weights, conflict: None, by_task: None })
}

fn of_features(
    balancer: &mut TaskBalancer,
    sharing: &ParameterSharing,
    inputs: StepLosses,
    info: StepInfo,
    clip: Option<&SharedClip>,
) -> Result<BalancedStep> {
    let cut = inputs.cut.ok_or_else(|| balancer.nothing_in_common())?;
    let total = balancer.total(&info)?;
    let shared = SharedParams { sharing, params: &balancer.params };
    feature_gradients::combine(&mut balancer.balancer, inputs, cut, &info, shared)?;
    if let Some(clip) = clip {
        clip.apply();
    }
    let weights = Vec::new();
    Ok(BalancedStep { info: Some(info), total, weights, conflict: None, by_task: None })
}

fn of_tasks(
    balancer: &mut TaskBalancer,
    store: &mut TaskGradientStore,
    inputs: StepLosses,
    info: StepInfo,
    clip: Option<&SharedClip>,
) -> Result<BalancedStep> {
    let weights = weights_of_one_pass(balancer, &info)?;
    let measures = balancer.measures_conflict(inputs.step);
    if measures || weights.is_none() {
        store.collect(inputs, info.tasks(), &balancer.params, weights.is_some())?;
    }
    let names = info.tasks().iter().map(|&task| balancer.tasks[task].clone());
    let conflict = measures.then(|| store.conflict(names.collect())).transpose()?;
    let (total, factors) = match &weights {
        Some(weights) => (one_pass(inputs, info.tasks(), weights, &balancer.params, clip)?, None),
        None => (balancer.total(&info)?, store.aggregate(balancer, &info)?),
    };
    let shared = factors.as_ref().map(|factors| factors.shared.clone());
    let weights = weights.or(shared).unwrap_or_default();
    let by_task = factors.filter(|_| balancer.by_task);
    Ok(BalancedStep { info: Some(info), total, weights, conflict, by_task })
}

/// Weights of the losses where one pass does: no aggregator, or one that keeps its last weights.
fn weights_of_one_pass(balancer: &TaskBalancer, info: &StepInfo) -> Result<Option<Vec<f64>>> {
    match balancer.aggregates() {
        true => Ok(balancer.balancer.reuse(info)?),
        false if balancer.by_task => Ok(None),
        false => Ok(Some(balancer.balancer.loss_weights(info)?.weights)),
    }
}
