//! Attention among all tokens of an image.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, Projection, Result, SiteKind};

use crate::blocks::layer_scope::LayerScope;

/// timm's `attn`: `qkv`, `proj`.
#[derive(Debug)]
pub(super) struct Attention {
    qkv: Box<dyn Projection>,
    proj: Box<dyn Projection>,
    heads: i64,
}

impl Attention {
    pub(super) fn new(scope: &LayerScope, dim: i64, heads: i64, qkv_bias: bool) -> Result<Self> {
        Ok(Self {
            qkv: scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], qkv_bias)?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            heads,
        })
    }

    /// `[batch, tokens, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let qkv = self.qkv.forward(x, train);
        self.proj.forward(&qkv.map(|t| attention(t, self.heads, None)), train)
    }
}
