//! Gradients of many parameters at once.

use tch::Tensor;

use crate::bridge::{all, at, ffi, output};
use crate::error::{Result, torch};

/// Carries `gradients` of `outputs`, of the same shapes and types, back to all leaves.
///
/// # Errors
/// What LibTorch reports.
pub fn backward(outputs: &[&Tensor], gradients: &[&Tensor]) -> Result<()> {
    let [outputs, gradients] = [outputs, gradients].map(|of| all(of.iter().copied()));
    ffi::backward(&outputs, &gradients).map_err(torch("backward"))
}

/// The Euclidean norm of all `gradients` as one vector, a float64 scalar on their device, which
/// nobody waits for. On the CPU squares are in float32 and their sums in float64.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn joint_norm(gradients: &[Tensor]) -> Tensor {
    output("joint_norm", ffi::joint_norm(&all(gradients)))
}

/// Multiplies all `gradients` by `factor`, in place.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn scale_all(gradients: &[Tensor], factor: f64) {
    ffi::scale_all(&all(gradients), factor).unwrap_or_else(|error| panic!("scale_all: {error}"));
}

/// As [`scale_all`], by a scalar on the device of `gradients`.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn scale_all_on_device(gradients: &[Tensor], factor: &Tensor) {
    let done = ffi::scale_all_on_device(&all(gradients), at(factor));
    done.unwrap_or_else(|error| panic!("scale_all_on_device: {error}"));
}

/// Makes a copy of `gradient` that of `parameter`, whose shape it has.
///
/// # Errors
/// What LibTorch reports.
pub fn set_gradient(parameter: &Tensor, gradient: &Tensor) -> Result<()> {
    ffi::set_gradient(at(parameter), at(gradient)).map_err(torch("set_gradient"))
}

/// Leaves `parameters` without gradients, so that the first that arrives is kept as it is.
///
/// # Panics
/// A parameter that is not defined.
pub fn forget_gradients(parameters: &[&Tensor]) {
    let done = ffi::forget_gradients(&all(parameters.iter().copied()));
    done.unwrap_or_else(|error| panic!("forget_gradients: {error}"));
}
