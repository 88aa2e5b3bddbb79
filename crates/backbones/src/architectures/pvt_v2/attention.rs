//! Attention of every position to those of a coarser map.

use polyptych_kernels::{attention, gelu};
use polyptych_tensor::{
    Activations, Conv2d, LayerNorm, Projection, Result, Scope, SiteKind, Tensor,
};

use super::config::EMBED_EPS;
use crate::blocks::combine::combine;
use crate::blocks::cross_attention::cross_attention;
use crate::blocks::layer_scope::LayerScope;

/// Rows and columns of the coarser map of linear attention.
const POOLED: [i64; 2] = [7, 7];

/// timm's `attn`: `q`, `kv`, `sr`, `norm`, `proj`.
#[derive(Debug)]
pub(super) struct Attention {
    q: Box<dyn Projection>,
    kv: Box<dyn Projection>,
    proj: Box<dyn Projection>,
    reduction: Option<Reduction>,
    heads: i64,
}

/// What a block's attention is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionConfig {
    pub(super) dim: i64,
    pub(super) heads: i64,
    pub(super) sr_ratio: i64,
    pub(super) linear: bool,
    pub(super) qkv_bias: bool,
}

impl Attention {
    pub(super) fn new(scope: &LayerScope, config: AttentionConfig) -> Result<Self> {
        let AttentionConfig { dim, heads, qkv_bias, .. } = config;
        let reduced = config.linear || config.sr_ratio > 1;
        let reduction = || Reduction::new(&scope.params, config);
        Ok(Self {
            q: scope.projection("q", SiteKind::Q, [dim, dim], qkv_bias)?,
            kv: scope.projection("kv", SiteKind::Kv, [dim, 2 * dim], qkv_bias)?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            reduction: reduced.then(reduction).transpose()?,
            heads,
        })
    }

    /// `[batch, height, width, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let query = self.q.forward(x, train);
        let mixed = match &self.reduction {
            None => combine(&query, &self.kv.forward(x, train), |q, kv| self.attend_alike(q, kv)),
            Some(reduction) => {
                let pair = self.kv.forward(&x.map(|t| reduction.forward(t)), train);
                combine(&query, &pair, |q, kv| self.attend(q, kv))
            }
        };
        self.proj.forward(&mixed, train)
    }

    /// Among the positions of one map.
    fn attend_alike(&self, query: &Tensor, pair: &Tensor) -> Tensor {
        let size = query.size();
        let tokens = Tensor::cat(&[query, pair], -1).flatten(1, 2);
        attention(&tokens, self.heads, None).view(size.as_slice())
    }

    /// From the positions of `query` to those of `pair`.
    fn attend(&self, query: &Tensor, pair: &Tensor) -> Tensor {
        let size = query.size();
        let part = |index: i64| pair.narrow(-1, index * size[3], size[3]).flatten(1, 2);
        let tokens = query.flatten(1, 2);
        cross_attention(&tokens, &part(0), &part(1), self.heads).view(size.as_slice())
    }
}

/// What makes the coarser map: a convolution, or a mean of 7 by 7 cells.
#[derive(Debug)]
struct Reduction {
    sr: Conv2d,
    norm: LayerNorm,
    linear: bool,
}

impl Reduction {
    fn new(scope: &Scope, config: AttentionConfig) -> Result<Self> {
        let ratio = if config.linear { 1 } else { config.sr_ratio };
        let chans = [config.dim; 2];
        Ok(Self {
            sr: Conv2d::new(&scope.pp("sr"), chans, [ratio; 2], true)?,
            norm: LayerNorm::new(&scope.pp("norm"), config.dim, EMBED_EPS)?,
            linear: config.linear,
        })
    }

    /// `[batch, height, width, dim]` to `[batch, rows, columns, dim]`; what the kernel does not
    /// cover at the right and the bottom is left out.
    fn forward(&self, map: &Tensor) -> Tensor {
        let map = map.permute([0, 3, 1, 2]);
        let map = if self.linear { map.adaptive_avg_pool2d(POOLED) } else { map };
        let coarse = self.sr.forward(&map).permute([0, 2, 3, 1]).contiguous();
        let coarse = self.norm.forward(&coarse);
        if self.linear { gelu(&coarse) } else { coarse }
    }
}
