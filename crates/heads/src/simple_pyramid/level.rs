//! One level of the pyramid.

use polyptych_kernels::gelu;
use polyptych_tensor::{Conv2d, LayerNorm, Result, Scope, Tensor};

use crate::conv_transpose::ConvTranspose2d;

/// The public code's.
const EPS: f64 = 1e-6;

/// How large a level is, per side of what it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resized {
    FourTimes,
    Twice,
    Same,
    Half,
}

impl Resized {
    /// Finest first.
    pub(super) const ALL: [Self; 4] = [Self::FourTimes, Self::Twice, Self::Same, Self::Half];

    /// Modules in front of the convolutions of channels, by their number in the public code.
    fn modules(self) -> usize {
        match self {
            Resized::FourTimes => 4,
            Resized::Twice | Resized::Half => 1,
            Resized::Same => 0,
        }
    }
}

/// `resize`, then convolutions of 1 and 3, each before a norm over channels.
#[derive(Debug)]
pub(super) struct Level {
    resize: Resize,
    narrow: NormedConv,
    mix: NormedConv,
}

#[derive(Debug)]
enum Resize {
    FourTimes { first: ConvTranspose2d, norm: LayerNorm, second: ConvTranspose2d },
    Twice(ConvTranspose2d),
    Same,
    Half,
}

impl Level {
    /// From `dim` to `channels`.
    pub(super) fn new(scope: &Scope, dim: i64, channels: i64, resized: Resized) -> Result<Self> {
        let up = |at: usize, from: i64| ConvTranspose2d::new(&scope.pp(at), [from, from / 2], 2);
        let (resize, from) = match resized {
            Resized::FourTimes => {
                let norm = LayerNorm::new(&scope.pp(1), dim / 2, EPS)?;
                let (first, second) = (up(0, dim)?, up(3, dim / 2)?);
                (Resize::FourTimes { first, norm, second }, dim / 2 / 2)
            }
            Resized::Twice => (Resize::Twice(up(0, dim)?), dim / 2),
            Resized::Same => (Resize::Same, dim),
            Resized::Half => (Resize::Half, dim),
        };
        let at = resized.modules();
        Ok(Self {
            resize,
            narrow: NormedConv::new(&scope.pp(at), [from, channels], 1)?,
            mix: NormedConv::new(&scope.pp(at + 1), [channels, channels], 3)?,
        })
    }

    /// `[batch, dim, height, width]` to `[batch, channels, height', width']`.
    pub(super) fn forward(&self, map: &Tensor) -> Tensor {
        let resized = match &self.resize {
            Resize::FourTimes { first, norm, second } => {
                second.forward(&gelu(&over_channels(norm, &first.forward(map))))
            }
            Resize::Twice(up) => up.forward(map),
            Resize::Same => map.shallow_clone(),
            Resize::Half => map.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], true),
        };
        self.mix.forward(&self.narrow.forward(&resized))
    }
}

/// A convolution without bias, padded so that maps keep their size, and `norm`.
#[derive(Debug)]
struct NormedConv {
    conv: Conv2d,
    norm: LayerNorm,
}

impl NormedConv {
    fn new(scope: &Scope, chans: [i64; 2], kernel: i64) -> Result<Self> {
        let conv = Conv2d::new(scope, chans, [kernel, 1], false)?.with_padding(kernel / 2);
        Ok(Self { conv, norm: LayerNorm::new(&scope.pp("norm"), chans[1], EPS)? })
    }

    fn forward(&self, map: &Tensor) -> Tensor {
        over_channels(&self.norm, &self.conv.forward(map))
    }
}

/// The norm of the channels of every position of `[batch, channels, height, width]`.
fn over_channels(norm: &LayerNorm, map: &Tensor) -> Tensor {
    let last = map.permute([0, 2, 3, 1]).contiguous();
    norm.forward(&last).permute([0, 3, 1, 2])
}
