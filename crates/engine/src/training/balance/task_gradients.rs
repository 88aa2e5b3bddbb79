//! Task gradients: collected, aggregated, and given to an optimiser that takes them apart.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::gradient::{Gram, cross_gram, gram_of_gradients};
use polyptych_losses::balancers::{Balancer, BalancerKind, GradientWeights, StepInfo};
use polyptych_tensor::Tensor;
use polyptych_tensor::device::vector;
use polyptych_tensor::optim::{TaskGradients, clip_factor};

use super::gradients::GradOptions;
use super::matrix::GradientMatrix;
use super::parameter_sharing::{ParameterSharing, SharedParams};
use super::step::{Clipping, StepLosses};
use super::task_balancer::TaskBalancer;
use crate::Result;
use crate::training::conflict::{Conflict, Layout};

/// Trainable parameters in the order of names.
type Params = [(String, Tensor)];

/// The task gradients of a step, and of its extra batches.
#[derive(Debug)]
pub(super) struct TaskGradientStore {
    sharing: ParameterSharing,
    layout: Layout,
    matrix: GradientMatrix,
    /// Those of extra batches.
    extra: Vec<GradientMatrix>,
}

impl TaskGradientStore {
    /// Room for the task gradients of `balancer` over what `sharing` says is shared.
    pub(super) fn new(balancer: &TaskBalancer, sharing: ParameterSharing) -> Self {
        let params = &balancer.params;
        let layout = sharing.layout(params);
        let matrix = GradientMatrix::new(balancer.tasks.len(), &sharing, params);
        Self { sharing, layout, matrix, extra: Vec::new() }
    }

    /// Collects the task gradients of one of the extra batches, the first one at `index` 0.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(super) fn collect_extra(
        &mut self,
        index: usize,
        inputs: StepLosses,
        params: &Params,
    ) -> Result<()> {
        let shared = SharedParams { sharing: &self.sharing, params };
        self.extra.truncate(index);
        let mut matrix = GradientMatrix::new(inputs.losses.len(), &self.sharing, params);
        let options =
            GradOptions { ranks: inputs.ranks, scale: inputs.scale(), retain_graph: false };
        matrix.collect(inputs.losses, &inputs.tasks(), shared, options)?;
        matrix.forget_private();
        self.extra.push(matrix);
        Ok(())
    }

    /// Collects the task gradients of a step; `retain_graph` keeps the last graph.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(super) fn collect(
        &mut self,
        inputs: StepLosses,
        tasks: &[usize],
        params: &Params,
        retain_graph: bool,
    ) -> Result<()> {
        let shared = SharedParams { sharing: &self.sharing, params };
        let options = GradOptions { ranks: inputs.ranks, scale: inputs.scale(), retain_graph };
        self.matrix.collect(inputs.losses, tasks, shared, options)
    }

    /// The conflict of the collected task gradients; `names`: the tasks of the step.
    ///
    /// # Errors
    /// A gradient that is not finite.
    pub(super) fn conflict(&self, names: Vec<String>) -> Result<Conflict> {
        Conflict::measure(names, &self.matrix.shared(), &self.layout)
    }

    /// Combines the collected task gradients and fills the gradients of the parameters with their
    /// sum; the factors of task gradients, where the method has some.
    ///
    /// # Errors
    /// A number that is not finite, before anything is changed, or what LibTorch reports.
    pub(super) fn aggregate(
        &mut self,
        of: &mut TaskBalancer,
        info: &StepInfo,
    ) -> Result<Option<GradientWeights>> {
        let Self { sharing, matrix, extra, .. } = self;
        let (balancer, by_task) = (&mut of.balancer, of.by_task);
        let params = SharedParams { sharing, params: &of.params };
        let mut shared = matrix.shared();
        if !matrix.private_are_finite(&mut shared) {
            let key = "private gradients".to_owned();
            return Err(LossError::NonFinite { key, found: f64::NAN }.into());
        }
        if balancer.kind() == BalancerKind::Gradients {
            let (direction, private) = balancer.direction(&mut shared, info)?;
            matrix.assign(&direction, info.tasks(), &private, params)?;
            matrix.forget_private();
            return Ok(None);
        }
        let gram = gram_of_gradients(&shared)?;
        let factors = match by_task {
            true => added(balancer, &gram, info)?,
            false => {
                let judge = cross(extra, info.tasks())?;
                balancer.gradient_weights_by(judge.as_ref().unwrap_or(&gram), &gram, info)?
            }
        };
        let direction = weighted_sum(&shared, &factors.shared);
        matrix.assign(&direction, info.tasks(), &factors.private, params)?;
        if !by_task {
            matrix.forget_private();
        }
        Ok(Some(factors))
    }

    /// Every task's gradients times its factors, as the sum of them was clipped.
    pub(super) fn by_task(
        &self,
        params: &Params,
        info: &StepInfo,
        weights: &GradientWeights,
        clipping: Clipping,
    ) -> Vec<TaskGradients> {
        let clip = clip_factor(clipping.norm, clipping.max_norm);
        let factors = |all: &[f64]| all.iter().map(|factor| factor * clip).collect();
        let weights = GradientWeights {
            shared: factors(&weights.shared),
            private: factors(&weights.private),
        };
        let shared = SharedParams { sharing: &self.sharing, params };
        self.matrix.by_task(info.tasks(), &weights, shared)
    }
}

/// The weights of a plain sum, shortened to what the loss weighting allows.
fn added(balancer: &Balancer, gram: &Gram, info: &StepInfo) -> Result<GradientWeights> {
    let private = balancer.loss_weights(info)?.weights;
    let norm = gram.norm_of(&private);
    let clip = balancer.max_norm().filter(|max| norm > *max).map_or(1.0, |max| max / norm);
    Ok(GradientWeights { shared: private.iter().map(|weight| weight * clip).collect(), private })
}

/// The products of two extra batches' task gradients; none where one of them lacks one of `tasks`.
fn cross(extra: &[GradientMatrix], tasks: &[usize]) -> Result<Option<Gram>> {
    let [one, other] = extra else { return Ok(None) };
    match (one.of(tasks), other.of(tasks)) {
        (Some(one), Some(other)) => Ok(Some(cross_gram(&one, &other)?)),
        _ => Ok(None),
    }
}

/// `sum_i weights_i gradients_i`, `[columns]`.
fn weighted_sum(gradients: &Tensor, weights: &[f64]) -> Tensor {
    let weights = vector(weights, gradients.kind(), gradients.device());
    weights.unsqueeze(0).matmul(gradients).squeeze_dim(0)
}
