//! Attention among all tokens, queries and keys of patches turned by their positions.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, LayerNorm, Projection, Result, SiteKind, Tensor};

use super::config::EvaConfig;
use super::rope::Turn;
use crate::blocks::combine::combine;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::split_bias::SplitBias;

/// timm's `attn`: `qkv`, `q_bias` and `v_bias`, or `q_proj`, `k_proj` and `v_proj`; `norm`, `proj`.
#[derive(Debug)]
pub(super) struct Attention {
    queries: Queries,
    norm: Option<LayerNorm>,
    proj: Box<dyn Projection>,
    heads: i64,
}

/// What makes queries, keys and values.
#[derive(Debug)]
enum Queries {
    Fused(Box<dyn Projection>, Option<SplitBias>),
    Apart([Box<dyn Projection>; 3]),
}

impl Attention {
    pub(super) fn new(scope: &LayerScope, config: &EvaConfig) -> Result<Self> {
        let dim = config.embed_dim;
        let norm = || LayerNorm::new(&scope.params.pp("norm"), dim, config.norm_eps);
        Ok(Self {
            queries: Queries::new(scope, config)?,
            norm: config.scale_attn_inner.then(norm).transpose()?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            heads: config.num_heads,
        })
    }

    /// `[batch, tokens, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, turn: Option<&Turn>, train: bool) -> Activations {
        let mixed = self.queries.forward(x, train).map(|qkv| match turn {
            Some(turn) => attention(&self.turned(qkv, turn), self.heads, None),
            None => attention(qkv, self.heads, None),
        });
        let mixed = match &self.norm {
            Some(norm) => mixed.map(|t| norm.forward(t)),
            None => mixed,
        };
        self.proj.forward(&mixed, train)
    }

    fn turned(&self, qkv: &Tensor, turn: &Turn) -> Tensor {
        let dim = qkv.size()[2] / 3;
        let part = |index: i64| qkv.narrow(-1, index * dim, dim);
        let of = |index| turn.forward(&part(index).unflatten(-1, [self.heads, -1])).flatten(2, 3);
        Tensor::cat(&[of(0), of(1), part(2)], -1)
    }
}

impl Queries {
    fn new(scope: &LayerScope, config: &EvaConfig) -> Result<Self> {
        let (dim, bias) = (config.embed_dim, config.qkv_bias);
        if config.qkv_fused {
            let split = || SplitBias::new(&scope.params, dim);
            let qkv = scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], false)?;
            return Ok(Queries::Fused(qkv, bias.then(split).transpose()?));
        }
        let part = |name: &str, kind, bias| scope.projection(name, kind, [dim, dim], bias);
        Ok(Queries::Apart([
            part("q_proj", SiteKind::Q, bias)?,
            part("k_proj", SiteKind::Kv, false)?,
            part("v_proj", SiteKind::Kv, bias)?,
        ]))
    }

    /// Side by side, `[batch, tokens, 3 * dim]`.
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        match self {
            Queries::Fused(qkv, None) => qkv.forward(x, train),
            Queries::Fused(qkv, Some(bias)) => qkv.forward(x, train).map(|t| bias.add_to(t)),
            Queries::Apart(parts) => {
                let [query, key, value] = parts.each_ref().map(|part| part.forward(x, train));
                let beside = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], -1);
                combine(&combine(&query, &key, beside), &value, beside)
            }
        }
    }
}
