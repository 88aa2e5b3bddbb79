//! Gradients by the features that all tasks read: one pass through each head, one through the
//! trunk.

use polyptych_kernels::set_gradient;
use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::gradient::{FeatureGradients, gram_of_gradients};
use polyptych_losses::balancers::{Balancer, StepInfo};
use polyptych_tensor::{Kind, Tensor, no_grad};

use crate::Result;
use crate::model::features::Cut;
use crate::training::balance::gradients::{GradOptions, all_finite, gradients};
use crate::training::balance::parameter_sharing::SharedParams;
use crate::training::balance::step::StepLosses;

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
    if !all_finite(found.iter().flat_map(|task| &task.private)) {
        let key = "private gradients".to_owned();
        return Err(LossError::NonFinite { key, found: f64::NAN }.into());
    }
    let form = balancer.features().unwrap_or_default();
    let gradients: Vec<Tensor> = found.iter().map(|task| row(&task.leaves, form)).collect();
    let weights =
        balancer.gradient_weights(&gram_of_gradients(&Tensor::stack(&gradients, 0))?, info)?;
    let seeds: Vec<Tensor> = (0..cut.leaves.len())
        .map(|leaf| {
            let parts = found.iter().zip(&weights.shared);
            let sum = parts.map(|(task, w)| &task.leaves[leaf] * *w).reduce(|a, b| a + b);
            sum.expect("a step to balance has a task") * scale
        })
        .collect();
    cut.backward(&seeds)?;
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
        let options = GradOptions { scale: inputs.scale(), retain_graph };
        let mut found = gradients(&inputs.losses[task], &wanted, options)?.into_iter();
        let or_zeros = |(leaf, grad): (&Tensor, Tensor)| {
            let grad = if grad.defined() { grad } else { leaf.zeros_like() };
            grad.detach().to_kind(Kind::Float)
        };
        let leaves = cut.leaves.iter().zip(found.by_ref()).map(or_zeros).collect();
        Ok(Task { leaves, private: found.collect() })
    };
    tasks.iter().enumerate().map(one).collect()
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
