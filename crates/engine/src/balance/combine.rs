//! Rows of gradients: collected, combined, and given to an optimiser that takes them apart.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{
    BalancerKind, Balancing, Batch, Gram, RowWeights, cross_of_rows, gram_of_rows,
};
use polyptych_tensor::Tensor;
use polyptych_tensor::optim::{TaskGradients, clip_factor};

use super::rows::Rows;
use super::{Balance, Balanced, Formed, Found, at_cut};
use crate::Result;
use crate::conflict::Conflict;
use crate::features::Cut;

impl Balance {
    /// Collects the rows of one of the further batches, the first one at `index` 0.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect_further(&mut self, index: usize, formed: Formed) -> Result<()> {
        let (params, losses) = (&self.params, formed.losses);
        let Found { reach, further, .. } = self.found.as_mut().expect("the reach is found first");
        further.truncate(index);
        let mut rows = Rows::new(losses.len(), reach, params);
        rows.collect(losses, &formed.tasks(), (reach, params), (formed.scale(), false))?;
        rows.forget_private();
        further.push(rows);
        Ok(())
    }

    pub(super) fn collect(&mut self, formed: Formed, tasks: &[usize], keep: bool) -> Result<()> {
        let (params, found) = (&self.params, self.found.as_mut());
        let Found { reach, rows, .. } = found.expect("the reach is found first");
        let rows = rows.get_or_insert_with(|| Rows::new(formed.losses.len(), reach, params));
        rows.collect(formed.losses, tasks, (reach, params), (formed.scale(), keep))
    }

    pub(super) fn conflict(&self, tasks: &[usize]) -> Result<Conflict> {
        let found = self.found.as_ref().expect("the reach is found first");
        let rows = found.rows.as_ref().expect("the rows are collected first").shared();
        let names = tasks.iter().map(|&task| self.tasks[task].clone()).collect();
        Conflict::measure(names, &rows, &found.layout)
    }

    /// Combines the gradients at `cut`; the sum of the losses with the loss balancer's weights.
    pub(super) fn combine_features(
        &mut self,
        formed: Formed,
        cut: &Cut,
        batch: &Batch,
    ) -> Result<f64> {
        let reach = &self.found.as_ref().expect("the reach is found first").reach;
        let total = self.total(batch)?;
        let (losses, scaler) = (formed.losses, formed.scaler);
        at_cut::combine(&mut self.balancing, losses, (cut, scaler), batch, (reach, &self.params))?;
        self.shorten();
        Ok(total)
    }

    /// Combines the collected rows; the sum of the losses with the loss balancer's weights, the
    /// factors of rows where the method has some, and those that the optimiser takes apart, whose sum is put into the gradients.
    pub(super) fn combine(&mut self, batch: &Batch) -> Result<(f64, Vec<f64>, Option<RowWeights>)> {
        let total = self.total(batch)?;
        let (params, by_task, balancing) = (&self.params, self.by_task, &mut self.balancing);
        let found = self.found.as_mut().expect("the reach is found first");
        let Found { reach, rows, further, .. } = found;
        let rows = rows.as_mut().expect("the rows are collected first");
        if !rows.private_are_finite() {
            let key = "private gradients".to_owned();
            return Err(LossError::NonFinite { key, found: f64::NAN }.into());
        }
        let mut shared = rows.shared();
        if balancing.kind() == BalancerKind::Rows {
            let (direction, private) = balancing.direction(&mut shared, batch)?;
            rows.deposit(&direction, batch.tasks(), &private, (reach, params))?;
            rows.forget_private();
            return Ok((total, Vec::new(), None));
        }
        let gram = gram_of_rows(&shared)?;
        let factors = match by_task {
            true => added(balancing, &gram, batch)?,
            false => {
                let judge = cross(further, batch.tasks())?;
                balancing.row_weights_by(judge.as_ref().unwrap_or(&gram), &gram, batch)?
            }
        };
        let direction = weighted_sum(&shared, &factors.shared);
        rows.deposit(&direction, batch.tasks(), &factors.private, (reach, params))?;
        if by_task {
            return Ok((total, factors.shared.clone(), Some(factors)));
        }
        rows.forget_private();
        Ok((total, factors.shared, None))
    }

    fn total(&self, batch: &Batch) -> Result<f64> {
        let weights = self.balancing.loss_weights(batch)?.weights;
        Ok(weights.iter().zip(batch.losses()).map(|(weight, loss)| weight * loss).sum())
    }

    /// Every task's gradients, as the sum of them was clipped from the length `norm` to `max`.
    pub(crate) fn by_task(&self, balanced: &Balanced, norm: f64, max: f64) -> Vec<TaskGradients> {
        let (Some(batch), Some(weights)) = (&balanced.batch, &balanced.by_task) else {
            return Vec::new();
        };
        let Found { reach, rows, .. } = self.found.as_ref().expect("the reach is found first");
        let rows = rows.as_ref().expect("the rows are collected first");
        let clip = clip_factor(norm, max);
        let factors = |all: &[f64]| all.iter().map(|factor| factor * clip).collect();
        let weights =
            RowWeights { shared: factors(&weights.shared), private: factors(&weights.private) };
        rows.by_task(batch.tasks(), &weights, (reach, &self.params))
    }
}

/// The weights of a plain sum, shortened to what the loss balancer allows.
fn added(balancing: &Balancing, gram: &Gram, batch: &Batch) -> Result<RowWeights> {
    let private = balancing.loss_weights(batch)?.weights;
    let norm = gram.norm_of(&private);
    let clip = balancing.max_norm().filter(|max| norm > *max).map_or(1.0, |max| max / norm);
    Ok(RowWeights { shared: private.iter().map(|weight| weight * clip).collect(), private })
}

/// The products of two further batches' rows; none where one of them lacks one of `tasks`.
fn cross(further: &[Rows], tasks: &[usize]) -> Result<Option<Gram>> {
    let [one, other] = further else { return Ok(None) };
    match (one.of(tasks), other.of(tasks)) {
        (Some(one), Some(other)) => Ok(Some(cross_of_rows(&one, &other)?)),
        _ => Ok(None),
    }
}

/// `sum_i weights_i rows_i`, `[columns]`.
fn weighted_sum(rows: &Tensor, weights: &[f64]) -> Tensor {
    let weights = Tensor::from_slice(weights).to_kind(rows.kind()).to_device(rows.device());
    weights.unsqueeze(0).matmul(rows).squeeze_dim(0)
}
