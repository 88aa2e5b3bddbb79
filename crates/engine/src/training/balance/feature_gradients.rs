//! Gradients by the features that all tasks read: one pass through each head, one through the
//! trunk.

use ndarray::Array2;
use polyptych_distributed::Ranks;
use polyptych_kernels::set_gradient;
use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::gradient::{FeatureGradients, Gram, gram_of_gradients};
use polyptych_losses::balancers::{Balancer, StepInfo};
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

use crate::Result;
use crate::model::features::Cut;
use crate::training::balance::gradients::{GradOptions, all_finite, gradients_of_part};
use crate::training::balance::parameter_sharing::SharedParams;
use crate::training::balance::step::StepLosses;
use crate::training::reduce::{sum_gradients, summed};

/// One task's gradients: by each of the cut's leaves, and by its own parameters.
struct Task {
    leaves: Vec<Tensor>,
    private: Vec<Tensor>,
}

/// Weights the tasks by their gradients at the cut and fills the gradients of `params`; the
/// scaler's scale is in the backward passes and in no gradient.
///
/// # Errors
/// A number that is not finite, before anything is changed, or what LibTorch reports.
pub(super) fn combine(
    balancer: &mut Balancer,
    inputs: StepLosses,
    cut: &Cut,
    info: &StepInfo,
    shared: SharedParams,
) -> Result<()> {
    let SharedParams { sharing, params } = shared;
    let scale = inputs.scale();
    let found = collect(inputs, info.tasks(), cut, shared)?;
    let form = balancer.features().unwrap_or_default();
    let rows: Vec<Tensor> = found.iter().map(|task| row(&task.leaves, form)).collect();
    let mut rows = Tensor::stack(&rows, 0);
    if !all_finite(found.iter().flat_map(|task| &task.private), &mut rows) {
        let key = "private gradients".to_owned();
        return Err(LossError::NonFinite { key, found: f64::NAN }.into());
    }
    let weights = balancer.gradient_weights(&gram(inputs.ranks, form, &rows)?, info)?;
    let seeds: Vec<Tensor> = (0..cut.leaves.len())
        .map(|leaf| {
            let parts = found.iter().zip(&weights.shared);
            let sum = parts.map(|(task, w)| &task.leaves[leaf] * *w).reduce(|a, b| a + b);
            sum.expect("a step to balance has a task") * scale
        })
        .collect();
    summed(inputs.buckets, || cut.backward(&seeds))?;
    inputs.scaler.map_or(Ok(()), |scaler| scaler.unscale(params))?;
    no_grad(|| {
        for ((task, own), factor) in info.tasks().iter().zip(&found).zip(&weights.private) {
            let mut pairs = sharing.private[*task].iter().zip(&own.private);
            pairs.try_for_each(|(&index, grad)| match grad.defined() {
                true => set_gradient(&params[index].1, &(grad * *factor)),
                // It lies behind the cut, and has its gradient already.
                false => Ok(()),
            })?;
        }
        sharing.complete(params)
    })
}

fn collect(
    inputs: StepLosses,
    tasks: &[usize],
    cut: &Cut,
    SharedParams { sharing, params }: SharedParams,
) -> Result<Vec<Task>> {
    let one = |(position, &task): (usize, &usize)| -> Result<Task> {
        let private = sharing.private[task].iter().map(|&index| &params[index].1);
        let wanted: Vec<&Tensor> = cut.leaves.iter().chain(private).collect();
        let retain_graph = position + 1 < tasks.len();
        let options = GradOptions { ranks: inputs.ranks, scale: inputs.scale(), retain_graph };
        let found = gradients_of_part(&inputs.losses[task], &wanted, options)?;
        let mut found = found.into_iter();
        let or_zeros = |(leaf, grad): (&Tensor, Tensor)| {
            let grad = if grad.defined() { grad } else { leaf.zeros_like() };
            grad.detach().to_kind(Kind::Float)
        };
        let leaves = cut.leaves.iter().zip(found.by_ref()).map(or_zeros).collect();
        let private = sum_gradients(inputs.ranks, found.collect(), &wanted[cut.leaves.len()..])?;
        Ok(Task { leaves, private })
    };
    tasks.iter().enumerate().map(one).collect()
}

/// The inner products of the `rows` of all images. Features belong to one image each, so that those
/// of parts of a batch stand beside each other in a row, and their inner products add up.
fn gram(ranks: &Ranks, form: FeatureGradients, own: &Tensor) -> Result<Gram> {
    if !ranks.are_many() {
        return Ok(gram_of_gradients(own)?);
    }
    match form {
        FeatureGradients::Flatten => {
            let own = own.to_kind(Kind::Double);
            let all = ranks.sum(&[&own.matmul(&own.tr())])?.remove(0).to_device(Device::Cpu);
            let tasks = own.size()[0] as usize;
            let shape = (tasks, tasks);
            let numbers = Vec::<f64>::try_from(&all.reshape([-1]))?;
            let all = Array2::from_shape_vec(shape, numbers).expect("a row of each task");
            Ok(Gram::new(all)?)
        }
        FeatureGradients::Sum => Ok(gram_of_gradients(&ranks.sum(&[own])?.remove(0))?),
    }
}

fn row(leaves: &[Tensor], form: FeatureGradients) -> Tensor {
    let flat = |leaf: &Tensor| match form {
        FeatureGradients::Flatten => leaf.reshape([-1]),
        FeatureGradients::Sum => {
            leaf.sum_dim_intlist([0i64].as_slice(), false, Kind::Float).reshape([-1])
        }
    };
    Tensor::cat(&leaves.iter().map(flat).collect::<Vec<_>>(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_the_images_apart_or_add_them() {
        let leaves = [Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2])];
        let numbers = |form| Vec::<f32>::try_from(row(&leaves, form)).unwrap();
        assert_eq!(numbers(FeatureGradients::Flatten), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(numbers(FeatureGradients::Sum), [4.0, 6.0]);
    }
}
