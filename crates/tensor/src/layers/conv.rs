//! Two-dimensional convolution.

use tch::Tensor;

use super::cast::cast;
use crate::{Init, Result, Scope};
use polyptych_kernels as kernels;

/// A square convolution; `weight` is `[out, in, kernel, kernel]`.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
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
        Ok(Self { weight, bias, stride, padding: 0 })
    }

    /// The same with `padding` zeros on each side.
    pub fn with_padding(self, padding: i64) -> Self {
        Self { padding, ..self }
    }

    /// Maps `[.., in_chans]` to `[.., out_chans]`: what a kernel of 1 does to channels that come
    /// last.
    pub fn pointwise(&self, x: &Tensor) -> Tensor {
        let weight = cast(&self.weight, x.kind()).flatten(1, 3);
        let bias = self.bias.as_ref().map(|b| cast(b, x.kind()));
        kernels::linear(x, &weight, bias.as_ref())
    }

    /// What each of `parts`, `[.., chans]`, adds to [`Conv2d::pointwise`] of all of them side by
    /// side, whose sum that is; the bias is with the first.
    pub fn pointwise_parts(&self, parts: &[Tensor]) -> Vec<Tensor> {
        let Some(first) = parts.first() else { return Vec::new() };
        let weight = cast(&self.weight, first.kind()).flatten(1, 3);
        let mut bias = self.bias.as_ref().map(|b| cast(b, first.kind()));
        let mut from = 0;
        let mut part = |x: &Tensor| {
            let width = x.size()[x.dim() - 1];
            let columns = weight.narrow(1, from, width).contiguous();
            from += width;
            kernels::linear(x, &columns, bias.take().as_ref())
        };
        parts.iter().map(&mut part).collect()
    }

    /// Maps `[batch, in_chans, height, width]` to `[batch, out_chans, height', width']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|b| cast(b, x.kind()));
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.conv2d(&cast(&self.weight, x.kind()), bias.as_ref(), stride, padding, [1, 1], 1)
    }
}
