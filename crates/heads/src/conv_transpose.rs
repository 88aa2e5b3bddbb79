//! Transposed convolution whose stride is its kernel: every position becomes a square of them.

use polyptych_tensor::{Init, Result, Scope, Tensor, cast};

/// `weight` is `[in, out, stride, stride]`.
#[derive(Debug)]
pub(crate) struct ConvTranspose2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
}

impl ConvTranspose2d {
    /// With PyTorch's default start.
    pub(crate) fn new(scope: &Scope, [from, to]: [i64; 2], stride: i64) -> Result<Self> {
        let law = Init::fan_in(to * stride * stride);
        let weight = scope.param("weight", &[from, to, stride, stride], law)?;
        Ok(Self { weight, bias: scope.param("bias", &[to], law)?, stride })
    }

    /// `[batch, in, height, width]` to `[batch, out, height * stride, width * stride]`.
    pub(crate) fn forward(&self, map: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|t| cast(t, map.kind()));
        let stride = [self.stride; 2];
        map.conv_transpose2d(&weight, Some(&bias), stride, [0, 0], [0, 0], 1, [1, 1])
    }
}
