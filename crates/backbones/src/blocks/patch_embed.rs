//! From pixels to tokens: one convolution whose stride is its kernel.

use polyptych_tensor::{Conv2d, LayerNorm, ParameterKind, Result, Scope, Tensor};

use crate::error::Error;

/// Channels of colour images, which configurations need not name.
pub(crate) fn rgb() -> i64 {
    3
}

/// timm's `patch_embed`: `proj`, and `norm` in a Swin.
#[derive(Debug)]
pub(crate) struct PatchEmbed {
    proj: Conv2d,
    norm: Option<LayerNorm>,
    patch_size: i64,
    in_chans: i64,
}

impl PatchEmbed {
    /// From `in_chans` to `dim` channels; `norm_eps` is that of `norm`, which is left out where it
    /// is `None`.
    pub(crate) fn new(
        scope: &Scope,
        patch_size: i64,
        [in_chans, dim]: [i64; 2],
        norm_eps: Option<f64>,
    ) -> Result<Self> {
        let scope = scope.of_kind(ParameterKind::PatchEmbed);
        let norm = norm_eps.map(|eps| LayerNorm::new(&scope.pp("norm"), dim, eps)).transpose()?;
        let proj = Conv2d::new(&scope.pp("proj"), [in_chans, dim], [patch_size; 2], true)?;
        Ok(Self { proj, norm, patch_size, in_chans })
    }

    /// Refuses what is no batch of images of these channels.
    pub(crate) fn check(&self, x: &Tensor) -> crate::Result<()> {
        match x.size()[..] {
            [_, channels, height, width]
                if channels == self.in_chans && height > 0 && width > 0 =>
            {
                Ok(())
            }
            _ => Err(Error::Image { in_chans: self.in_chans, found: x.size() }),
        }
    }

    /// `[batch, in_chans, height, width]`, padded to whole patches, to
    /// `[batch, rows, columns, dim]`.
    pub(crate) fn forward(&self, image: &Tensor) -> Tensor {
        let [height, width] = [image.size()[2], image.size()[3]];
        let missing = |extent: i64| (-extent).rem_euclid(self.patch_size);
        let padded = image.constant_pad_nd([0, missing(width), 0, missing(height)]);
        let patches = self.proj.forward(&padded).permute([0, 2, 3, 1]);
        match &self.norm {
            Some(norm) => norm.forward(&patches),
            None => patches,
        }
    }
}
