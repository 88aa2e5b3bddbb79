//! `y = x W^T + b`.

use tch::Tensor;

use super::cast::cast;
use crate::{Init, Result, Scope};
use polyptych_kernels as kernels;

/// A linear map over the last axis; `weight` is `[out, in]`, `bias` is `[out]`.
#[derive(Debug)]
pub struct Linear {
    /// `[out_features, in_features]`.
    pub weight: Tensor,
    /// `[out_features]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Starts as timm starts a transformer's matrices: weights truncated-normal with standard
    /// deviation 0.02, biases zero.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(scope: &Scope, in_features: i64, out_features: i64, bias: bool) -> Result<Self> {
        let weight =
            scope.param("weight", &[out_features, in_features], Init::TruncNormal(0.02))?;
        let bias = bias.then(|| scope.bias(&[out_features], Init::ZEROS)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// Maps `[.., in_features]` to `[.., out_features]`, in the type of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cast(b, x.kind()));
        kernels::linear(x, &cast(&self.weight, x.kind()), bias.as_ref())
    }

    /// `gelu` of [`Linear::forward`].
    pub(crate) fn forward_gelu(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cast(b, x.kind()));
        kernels::linear_gelu(x, &cast(&self.weight, x.kind()), bias.as_ref())
    }
}
