//! Two-dimensional convolution.

use tch::{Kind, Tensor};

use super::cast::cast;
use crate::{Init, Result, Scope};
use polyptych_kernels as kernels;

/// A square convolution; `weight` is `[out, in / groups, kernel, kernel]`.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    groups: i64,
}

impl Conv2d {
    /// Kernel `kernel`, stride `stride`, no padding, PyTorch's default start.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(
        scope: &Scope,
        [in_chans, out_chans]: [i64; 2],
        [kernel, stride]: [i64; 2],
        bias: bool,
    ) -> Result<Self> {
        let law = Init::fan_in(in_chans * kernel * kernel);
        let weight = scope.param("weight", &[out_chans, in_chans, kernel, kernel], law)?;
        let bias = bias.then(|| scope.bias(&[out_chans], law)).transpose()?;
        Ok(Self { weight, bias, stride, padding: 0, groups: 1 })
    }

    /// A kernel of its own for each of `chans` channels, stride 1, padded so that maps keep their
    /// size, with a bias; `kernel` is odd.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn depthwise(scope: &Scope, chans: i64, kernel: i64) -> Result<Self> {
        let law = Init::fan_in(kernel * kernel);
        let weight = scope.param("weight", &[chans, 1, kernel, kernel], law)?;
        let bias = Some(scope.bias(&[chans], law)?);
        Ok(Self { weight, bias, stride: 1, padding: kernel / 2, groups: chans })
    }

    /// The same with `padding` zeros on each side.
    pub fn with_padding(self, padding: i64) -> Self {
        Self { padding, ..self }
    }

    /// Maps `[.., in_chans]` to `[.., out_chans]`: what a kernel of 1 does to channels that come
    /// last.
    pub fn pointwise(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = self.linear_parts(x.kind());
        kernels::linear(x, &weight, bias.as_ref())
    }

    /// What each of `parts`, `[.., chans]`, adds to [`Conv2d::pointwise`] of all of them side by
    /// side, whose sum that is; the bias is with the first.
    pub fn pointwise_parts(&self, parts: &[Tensor]) -> Vec<Tensor> {
        let Some(first) = parts.first() else { return Vec::new() };
        let (weight, mut bias) = self.linear_parts(first.kind());
        let pairs = parts.iter().zip(columns(&weight, parts));
        pairs.map(|(x, columns)| kernels::linear(x, &columns, bias.take().as_ref())).collect()
    }

    /// The weight of a kernel of 1, `[out, in]`, and the bias, `[out]`, both as `kind`.
    pub fn linear_parts(&self, kind: Kind) -> (Tensor, Option<Tensor>) {
        let bias = self.bias.as_ref().map(|b| cast(b, kind));
        (cast(&self.weight, kind).flatten(1, 3), bias)
    }

    /// Maps `[batch, in_chans, height, width]` to `[batch, out_chans, height', width']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cast(b, x.kind()));
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&cast(&self.weight, x.kind()), bias.as_ref(), stride, padding, [1, 1], self.groups)
    }
}

/// Columns of `weight`, `[out, in]`, that read each of `parts`, `[.., chans]`, side by side.
pub fn columns(weight: &Tensor, parts: &[Tensor]) -> Vec<Tensor> {
    let mut from = 0;
    let mut own = |x: &Tensor| {
        let width = x.size()[x.dim() - 1];
        let columns = weight.narrow(1, from, width).contiguous();
        from += width;
        columns
    };
    parts.iter().map(&mut own).collect()
}
