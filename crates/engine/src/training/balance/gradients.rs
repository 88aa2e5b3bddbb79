//! Gradients of one loss, as `torch.autograd.grad` gives them.

use polyptych_distributed::Ranks;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

use crate::Result;
use crate::training::reduce::sum_gradients;

/// Whether the gradients that are defined are finite. Nobody waits for a device to say so: there
/// `marked`, whose numbers are read next, becomes no number where they are not.
pub(crate) fn all_finite<'a>(
    gradients: impl Iterator<Item = &'a Tensor>,
    marked: &mut Tensor,
) -> bool {
    let all = gradients.filter(|grad| grad.defined());
    let norms: Vec<Tensor> = all.map(|grad| grad.norm().to_kind(Kind::Float)).collect();
    if norms.is_empty() {
        return true;
    }
    let sum = Tensor::stack(&norms, 0).sum(Kind::Float);
    if sum.device() == Device::Cpu {
        return sum.double_value(&[]).is_finite();
    }
    no_grad(|| *marked += sum * 0.0);
    true
}

/// How a backward pass is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradOptions<'a> {
    /// The processes whose gradients add up.
    pub(crate) ranks: &'a Ranks,
    /// What the loss is multiplied by; no gradient keeps it.
    pub(crate) scale: f64,
    /// Whether the graph stays for another pass.
    pub(crate) retain_graph: bool,
}

/// Gradients of `loss` by `params`, of all ranks together; not defined where it does not depend on
/// one.
///
/// # Errors
/// What LibTorch reports, or a rank that is gone.
pub(crate) fn gradients(
    loss: &Tensor,
    params: &[&Tensor],
    options: GradOptions,
) -> Result<Vec<Tensor>> {
    sum_gradients(options.ranks, gradients_of_part(loss, params, options)?, params)
}

/// As [`gradients`], of this rank's part of the batch alone.
///
/// # Errors
/// What LibTorch reports.
pub(crate) fn gradients_of_part(
    loss: &Tensor,
    params: &[&Tensor],
    GradOptions { scale, retain_graph, .. }: GradOptions,
) -> Result<Vec<Tensor>> {
    // LibTorch crashes on a loss without a graph, and asked for nothing it fills all gradients.
    if params.is_empty() || !loss.requires_grad() {
        return Ok(params.iter().map(|_| Tensor::new()).collect());
    }
    if scale == 1.0 {
        return Ok(Tensor::f_run_backward(&[loss], params, retain_graph, false)?);
    }
    let scaled = Tensor::f_run_backward(&[loss * scale], params, retain_graph, false)?;
    let unscaled = |grad: Tensor| if grad.defined() { grad * (1.0 / scale) } else { grad };
    Ok(no_grad(|| scaled.into_iter().map(unscaled).collect()))
}
