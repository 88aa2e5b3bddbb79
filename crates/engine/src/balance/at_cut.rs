//! Gradients by the features that all tasks read: one pass through each head, one through the trunk.

use polyptych_kernels::set_gradient;
use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{Balancing, Batch, FeatureRows, gram_of_rows};
use polyptych_tensor::{GradScaler, Kind, Tensor, no_grad};

use crate::Result;
use crate::balance::reach::Reach;
use crate::balance::rows::{all_finite, gradients};
use crate::features::Cut;

/// One task's gradients: by each of the cut's leaves, and by its own parameters.
struct Task {
    leaves: Vec<Tensor>,
    private: Vec<Tensor>,
}

/// Weighs the tasks by their gradients at the cut and fills the gradients of `params`; the scaler's
/// scale is in the backward passes and in no gradient.
///
/// # Errors
/// A number that is not finite, before anything is changed, or what LibTorch reports.
pub(super) fn combine(
    balancing: &mut Balancing,
    losses: &[Tensor],
    (cut, scaler): (&Cut, Option<&GradScaler>),
    batch: &Batch,
    (reach, params): (&Reach, &[(String, Tensor)]),
) -> Result<()> {
    let scale = scaler.map_or(1.0, GradScaler::scale);
    let found = collect(losses, batch.tasks(), (cut, scale), (reach, params))?;
    if !all_finite(found.iter().flat_map(|task| &task.private)) {
        let key = "private gradients".to_owned();
        return Err(LossError::NonFinite { key, found: f64::NAN }.into());
    }
    let form = balancing.features().unwrap_or_default();
    let rows: Vec<Tensor> = found.iter().map(|task| row(&task.leaves, form)).collect();
    let weights = balancing.row_weights(&gram_of_rows(&Tensor::stack(&rows, 0))?, batch)?;
    let seeds: Vec<Tensor> = (0..cut.leaves.len())
        .map(|leaf| {
            let parts = found.iter().zip(&weights.shared);
            let sum = parts.map(|(task, w)| &task.leaves[leaf] * *w).reduce(|a, b| a + b);
            sum.expect("a step to balance has a task") * scale
        })
        .collect();
    cut.backward(&seeds)?;
    scaler.map_or(Ok(()), |scaler| scaler.unscale(params))?;
    no_grad(|| {
        for ((task, own), factor) in batch.tasks().iter().zip(&found).zip(&weights.private) {
            let mut pairs = reach.private[*task].iter().zip(&own.private);
            pairs.try_for_each(|(&index, grad)| match grad.defined() {
                true => set_gradient(&params[index].1, &(grad * *factor)),
                // It lies behind the cut, and has its gradient already.
                false => Ok(()),
            })?;
        }
        reach.complete(params)
    })
}

fn collect(
    losses: &[Tensor],
    tasks: &[usize],
    (cut, scale): (&Cut, f64),
    (reach, params): (&Reach, &[(String, Tensor)]),
) -> Result<Vec<Task>> {
    let one = |(place, &task): (usize, &usize)| -> Result<Task> {
        let private = reach.private[task].iter().map(|&index| &params[index].1);
        let wanted: Vec<&Tensor> = cut.leaves.iter().chain(private).collect();
        let keep = place + 1 < tasks.len();
        let mut found = gradients(&losses[task], &wanted, (scale, keep))?.into_iter();
        let or_zeros = |(leaf, grad): (&Tensor, Tensor)| {
            let grad = if grad.defined() { grad } else { leaf.zeros_like() };
            grad.detach().to_kind(Kind::Float)
        };
        let leaves = cut.leaves.iter().zip(found.by_ref()).map(or_zeros).collect();
        Ok(Task { leaves, private: found.collect() })
    };
    tasks.iter().enumerate().map(one).collect()
}

fn row(leaves: &[Tensor], form: FeatureRows) -> Tensor {
    let flat = |leaf: &Tensor| match form {
        FeatureRows::Flatten => leaf.reshape([-1]),
        FeatureRows::Sum => {
            leaf.sum_dim_intlist([0i64].as_slice(), false, Kind::Float).reshape([-1])
        }
    };
    Tensor::cat(&leaves.iter().map(flat).collect::<Vec<_>>(), 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_keep_the_images_apart_or_add_them() {
        let leaves = [Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2])];
        let numbers = |form| Vec::<f32>::try_from(row(&leaves, form)).unwrap();
        assert_eq!(numbers(FeatureRows::Flatten), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(numbers(FeatureRows::Sum), [4.0, 6.0]);
    }
}
