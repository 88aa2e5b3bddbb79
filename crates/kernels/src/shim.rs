//! The bridge to the C++ shim: the one place in the workspace that holds `unsafe`.
//!
//! Fused optimiser steps, opening the CUDA library at run time, and the version of LibTorch.

// The bridge's items are public in a private module, and its calls take plain numbers: so cxx
// asks.
#![allow(unsafe_code, unreachable_pub, clippy::too_many_arguments)]

use tch::Tensor;

use crate::{Error, Result};

#[cxx::bridge(namespace = "polyptych")]
mod ffi {
    unsafe extern "C++" {
        include!("polyptych-kernels/cpp/shim.h");

        fn open_library(path: &str) -> Result<()>;
        fn torch_version() -> String;
        // SAFETY: every address must be that of a live `at::Tensor`.
        unsafe fn adamw_step(
            params: &[usize],
            grads: &[usize],
            exp_avgs: &[usize],
            exp_avg_sqs: &[usize],
            steps: &[usize],
            lr: f64,
            beta1: f64,
            beta2: f64,
            weight_decay: f64,
            eps: f64,
        ) -> Result<()>;
        // SAFETY: as above.
        unsafe fn sgd_step(
            params: &[usize],
            grads: &[usize],
            momentum_buffers: &[usize],
            lr: f64,
            momentum: f64,
            weight_decay: f64,
            nesterov: bool,
            first_step: bool,
        ) -> Result<()>;
    }
}

/// Version of the LibTorch that the program was built for, such as `2.11.0`.
pub fn torch_version() -> String {
    ffi::torch_version()
}

/// Opens the shared library at `path`; its registrations meet those of the libraries before it.
///
/// # Errors
/// What the loader says.
pub fn open_library(path: &str) -> Result<()> {
    ffi::open_library(path)
        .map_err(|e| Error::Library { path: path.into(), reason: e.what().into() })
}

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
    // SAFETY: the slices borrow the tensors for the whole call.
    let done = unsafe {
        ffi::adamw_step(
            &addresses(params),
            &addresses(grads),
            &addresses(exp_avgs),
            &addresses(exp_avg_sqs),
            &addresses(steps),
            step.lr,
            beta1,
            beta2,
            step.weight_decay,
            step.eps,
        )
    };
    done.map_err(|e| Error::Torch { op: "_fused_adamw_", reason: e.what().into() })
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
    // SAFETY: the slices borrow the tensors for the whole call.
    let done = unsafe {
        ffi::sgd_step(
            &addresses(params),
            &addresses(grads),
            &addresses(momentum_buffers),
            step.lr,
            step.momentum,
            step.weight_decay,
            step.nesterov,
            step.first_step,
        )
    };
    done.map_err(|e| Error::Torch { op: "_fused_sgd_", reason: e.what().into() })
}

fn addresses(tensors: &[Tensor]) -> Vec<usize> {
    tensors.iter().map(|t| t.as_ptr() as usize).collect()
}
