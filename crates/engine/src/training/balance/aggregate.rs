//! Task gradients: collected, aggregated, and given to an optimiser that takes them apart.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::gradient::{Gram, cross_gram, gram_of_gradients};
use polyptych_losses::balancers::{Balancer, BalancerKind, GradientWeights, StepInfo};
use polyptych_tensor::Tensor;
use polyptych_tensor::optim::{TaskGradients, clip_factor};

use super::matrix::GradientMatrix;
use super::{BalancedStep, Prepared, StepInputs, TaskBalancer, feature_gradients};
use crate::Result;
use crate::model::features::Cut;
use crate::training::conflict::Conflict;

impl TaskBalancer {
    /// Collects the task gradients of one of the extra batches, the first one at `index` 0.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect_extra(&mut self, index: usize, inputs: StepInputs) -> Result<()> {
        let (params, losses) = (&self.params, inputs.losses);
        let Prepared { sharing, extra, .. } = self.prepared.as_mut().expect("prepare comes first");
        extra.truncate(index);
        let mut matrix = GradientMatrix::new(losses.len(), sharing, params);
        matrix.collect(losses, &inputs.tasks(), (sharing, params), (inputs.scale(), false))?;
        matrix.forget_private();
        extra.push(matrix);
        Ok(())
    }

    pub(super) fn collect(
        &mut self,
        inputs: StepInputs,
        tasks: &[usize],
        keep: bool,
    ) -> Result<()> {
        let (params, prepared) = (&self.params, self.prepared.as_mut());
        let Prepared { sharing, matrix, .. } = prepared.expect("prepare comes first");
        let matrix =
            matrix.get_or_insert_with(|| GradientMatrix::new(inputs.losses.len(), sharing, params));
        matrix.collect(inputs.losses, tasks, (sharing, params), (inputs.scale(), keep))
    }

    pub(super) fn conflict(&self, tasks: &[usize]) -> Result<Conflict> {
        let prepared = self.prepared.as_ref().expect("prepare comes first");
        let rows = prepared.matrix.as_ref().expect("collect comes first").shared();
        let names = tasks.iter().map(|&task| self.tasks[task].clone()).collect();
        Conflict::measure(names, &rows, &prepared.layout)
    }

    /// Combines the gradients at `cut`; the sum of the losses with the loss weighting's weights.
    pub(super) fn aggregate_features(
        &mut self,
        inputs: StepInputs,
        cut: &Cut,
        info: &StepInfo,
    ) -> Result<f64> {
        let sharing = &self.prepared.as_ref().expect("prepare comes first").sharing;
        let total = self.total(info)?;
        let (losses, scaler) = (inputs.losses, inputs.scaler);
        feature_gradients::combine(
            &mut self.balancer,
            losses,
            (cut, scaler),
            info,
            (sharing, &self.params),
        )?;
        self.clip_shared();
        Ok(total)
    }

    /// Combines the collected task gradients; the sum of the losses with the loss weighting's
    /// weights, the factors of task gradients where the method has some, and those that the
    /// optimiser takes apart, whose sum is put into the gradients.
    pub(super) fn aggregate(
        &mut self,
        info: &StepInfo,
    ) -> Result<(f64, Vec<f64>, Option<GradientWeights>)> {
        let total = self.total(info)?;
        let (params, by_task, balancer) = (&self.params, self.by_task, &mut self.balancer);
        let prepared = self.prepared.as_mut().expect("prepare comes first");
        let Prepared { sharing, matrix, extra, .. } = prepared;
        let matrix = matrix.as_mut().expect("collect comes first");
        if !matrix.private_are_finite() {
            let key = "private gradients".to_owned();
            return Err(LossError::NonFinite { key, found: f64::NAN }.into());
        }
        let mut shared = matrix.shared();
        if balancer.kind() == BalancerKind::Gradients {
            let (direction, private) = balancer.direction(&mut shared, info)?;
            matrix.assign(&direction, info.tasks(), &private, (sharing, params))?;
            matrix.forget_private();
            return Ok((total, Vec::new(), None));
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
        matrix.assign(&direction, info.tasks(), &factors.private, (sharing, params))?;
        if by_task {
            return Ok((total, factors.shared.clone(), Some(factors)));
        }
        matrix.forget_private();
        Ok((total, factors.shared, None))
    }

    fn total(&self, info: &StepInfo) -> Result<f64> {
        let weights = self.balancer.loss_weights(info)?.weights;
        Ok(weights.iter().zip(info.losses()).map(|(weight, loss)| weight * loss).sum())
    }

    /// Every task's gradients, as the sum of them was clipped from the length `norm` to `max`.
    pub(crate) fn by_task(
        &self,
        balanced: &BalancedStep,
        norm: f64,
        max: f64,
    ) -> Vec<TaskGradients> {
        let (Some(info), Some(weights)) = (&balanced.info, &balanced.by_task) else {
            return Vec::new();
        };
        let Prepared { sharing, matrix, .. } = self.prepared.as_ref().expect("prepare comes first");
        let matrix = matrix.as_ref().expect("collect comes first");
        let clip = clip_factor(norm, max);
        let factors = |all: &[f64]| all.iter().map(|factor| factor * clip).collect();
        let weights = GradientWeights {
            shared: factors(&weights.shared),
            private: factors(&weights.private),
        };
        matrix.by_task(info.tasks(), &weights, (sharing, &self.params))
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

/// `sum_i weights_i rows_i`, `[columns]`.
fn weighted_sum(rows: &Tensor, weights: &[f64]) -> Tensor {
    let weights = Tensor::from_slice(weights).to_kind(rows.kind()).to_device(rows.device());
    weights.unsqueeze(0).matmul(rows).squeeze_dim(0)
}
