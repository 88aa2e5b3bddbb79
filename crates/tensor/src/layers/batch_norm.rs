//! Batch normalisation over channels.

use tch::{Kind, Tensor};

use crate::{Init, ParameterKind, Result, Scope};
use polyptych_kernels::{self as kernels, BatchNorm};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` per channel; batch statistics in training,
/// running ones otherwise.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm2d {
    const MOMENTUM: f64 = 0.1;
    const EPS: f64 = 1e-5;

    /// Momentum 0.1 and eps 1e-5, PyTorch's defaults.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(scope: &Scope, chans: i64) -> Result<Self> {
        let scope = scope.of_kind(ParameterKind::Norm);
        Ok(Self {
            weight: scope.param("weight", &[chans], Init::ONES)?,
            bias: scope.bias(&[chans], Init::ZEROS)?,
            running_mean: scope.buffer("running_mean", &[chans], Init::ZEROS)?,
            running_var: scope.buffer("running_var", &[chans], Init::ONES)?,
        })
    }

    /// Normalises `[batch, chans, height, width]`; statistics are kept in float32.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        let wide = x.to_kind(Kind::Float);
        wide.batch_norm(weight, bias, mean, var, train, Self::MOMENTUM, Self::EPS, false)
            .to_kind(x.kind())
    }

    /// `relu` of the same, for channels that come last: `[.., chans]`.
    pub fn forward_relu(&self, x: &Tensor, train: bool) -> Tensor {
        let norm = BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: Self::MOMENTUM,
            eps: Self::EPS,
        };
        let rows = x.flatten(0, x.dim() as i64 - 2);
        kernels::batch_norm_relu(&rows, &norm, train).view(x.size().as_slice())
    }
}
