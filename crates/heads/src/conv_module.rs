//! Convolution, batch normalisation and ReLU, under the names of mmsegmentation's `ConvModule`.

use polyptych_tensor::{BatchNorm2d, Conv2d, Result, Scope, Tensor};

/// `conv`, without a bias, and `bn`.
#[derive(Debug)]
pub(crate) struct ConvModule {
    conv: Conv2d,
    norm: BatchNorm2d,
    kernel: i64,
}

impl ConvModule {
    /// With an odd kernel, padded so that maps keep their size.
    pub(crate) fn new(scope: &Scope, chans: [i64; 2], kernel: i64) -> Result<Self> {
        let conv = Conv2d::new(&scope.pp("conv"), chans, [kernel, 1], false)?;
        let norm = BatchNorm2d::new(&scope.pp("bn"), chans[1])?;
        Ok(Self { conv: conv.with_padding(kernel / 2), norm, kernel })
    }

    /// `[batch, height, width, from]` to `[batch, height, width, to]`.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mixed = match self.kernel {
            1 => self.conv.pointwise(x),
            _ => channels_last(&self.conv.forward(&x.permute([0, 3, 1, 2]))),
        };
        self.norm.forward_relu(&mixed, train)
    }
}

/// `[batch, chans, height, width]` to `[batch, height, width, chans]`.
pub(crate) fn channels_last(map: &Tensor) -> Tensor {
    map.permute([0, 2, 3, 1]).contiguous()
}
