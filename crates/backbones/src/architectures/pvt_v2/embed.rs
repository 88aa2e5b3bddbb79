//! From pixels or a finer map to positions: a convolution whose kernels overlap, and a norm.

use polyptych_tensor::{Conv2d, LayerNorm, Result, Scope, Tensor};

use super::config::EMBED_EPS;

/// timm's `patch_embed` and `downsample`: `proj`, `norm`.
#[derive(Debug)]
pub(super) struct OverlapPatchEmbed {
    proj: Conv2d,
    norm: LayerNorm,
}

impl OverlapPatchEmbed {
    /// With an odd kernel, padded by its half.
    pub(super) fn new(
        scope: &Scope,
        [in_chans, dim]: [i64; 2],
        [kernel, stride]: [i64; 2],
    ) -> Result<Self> {
        let proj = Conv2d::new(&scope.pp("proj"), [in_chans, dim], [kernel, stride], true)?;
        let norm = LayerNorm::new(&scope.pp("norm"), dim, EMBED_EPS)?;
        Ok(Self { proj: proj.with_padding(kernel / 2), norm })
    }

    /// `[batch, height, width, in_chans]` to `[batch, height / stride, width / stride, dim]`,
    /// rounded up.
    pub(super) fn forward(&self, map: &Tensor) -> Tensor {
        let embedded = self.proj.forward(&map.permute([0, 3, 1, 2]));
        self.norm.forward(&embedded.permute([0, 2, 3, 1]).contiguous())
    }
}
