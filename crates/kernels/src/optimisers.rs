//! Steps of optimisers, of all parameters at once.

use tch::Tensor;

use crate::bridge::{all, ffi};
use crate::error::{Result, torch};

/// Constants of one AdamW step.
#[derive(Debug)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Factors of both moments.
    pub betas: [f64; 2],
    /// Decoupled: times the learning rate.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// One AdamW step of all `params` in place, counted in `steps`; one entry of each list per parameter.
///
/// # Errors
/// Shapes, types or devices that differ.
pub fn adamw_step(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    steps: &[Tensor],
    step: &AdamWStep,
) -> Result<()> {
    let [beta1, beta2] = step.betas;
    let done = ffi::adamw_step(
        &all(params),
        &all(grads),
        &all(exp_avgs),
        &all(exp_avg_sqs),
        &all(steps),
        step.lr,
        beta1,
        beta2,
        step.weight_decay,
        step.eps,
    );
    done.map_err(torch("_fused_adamw_"))
}

/// Constants of one SGD step.
#[derive(Debug)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the buffer.
    pub momentum: f64,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// Whether the buffers are empty yet.
    pub first_step: bool,
}

/// One SGD step of all `params` in place; one entry of each list per parameter.
///
/// # Errors
/// Shapes, types or devices that differ.
pub fn sgd_step(
    params: &[Tensor],
    grads: &[Tensor],
    momentum_buffers: &[Tensor],
    step: &SgdStep,
) -> Result<()> {
    let done = ffi::sgd_step(
        &all(params),
        &all(grads),
        &all(momentum_buffers),
        step.lr,
        step.momentum,
        step.weight_decay,
        step.nesterov,
        step.first_step,
    );
    done.map_err(torch("_fused_sgd_"))
}
