//! Gradients of one loss, as `torch.autograd.grad` gives them.

use polyptych_tensor::{Kind, Tensor, no_grad};

use crate::Result;

/// Whether the gradients that are defined are finite.
pub(crate) fn all_finite<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> bool {
    let all = gradients.filter(|grad| grad.defined());
    let norms: Vec<Tensor> = all.map(|grad| grad.norm().to_kind(Kind::Float)).collect();
    norms.is_empty() || Tensor::stack(&norms, 0).sum(Kind::Float).double_value(&[]).is_finite()
}

/// Gradients of `loss` by `params`, not defined where it does not depend on one; the backward pass
/// is that of `loss * scale`. `keep` keeps the graph.
///
/// # Errors
/// What LibTorch reports.
pub(crate) fn gradients(
    loss: &Tensor,
    params: &[&Tensor],
    (scale, keep): (f64, bool),
) -> Result<Vec<Tensor>> {
    // LibTorch crashes on a loss without a graph, and asked for nothing it fills all gradients.
    if params.is_empty() || !loss.requires_grad() {
        return Ok(params.iter().map(|_| Tensor::new()).collect());
    }
    if scale == 1.0 {
        return Ok(Tensor::f_run_backward(&[loss], params, keep, false)?);
    }
    let scaled = Tensor::f_run_backward(&[loss * scale], params, keep, false)?;
    let unscaled = |grad: Tensor| if grad.defined() { grad * (1.0 / scale) } else { grad };
    Ok(no_grad(|| scaled.into_iter().map(unscaled).collect()))
}
