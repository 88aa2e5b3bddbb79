//! `y = (x - mean) / sqrt(var + eps) * weight + bias` over the last axis.

use tch::Tensor;

use crate::{Init, ParameterKind, Result, Scope};
use polyptych_kernels as kernels;

/// Layer normalisation over the last axis.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Starts as the identity of normalised inputs: weight 1, bias 0.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(scope: &Scope, dim: i64, eps: f64) -> Result<Self> {
        let scope = scope.of_kind(ParameterKind::Norm);
        let weight = scope.param("weight", &[dim], Init::ONES)?;
        let bias = scope.bias(&[dim], Init::ZEROS)?;
        Ok(Self { weight, bias, eps })
    }

    /// Normalises `[.., dim]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        kernels::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
