//! Attention pooling: one trainable query reads all tokens, and a perceptron refines what it found.
//!
//! Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560, section 3.2 (MAP head), as SigLIP
//! has it.

use polyptych_tensor::{Init, Kind, LayerNorm, Linear, Result, Scope, Tensor, cast};

use super::config::VitConfig;
use crate::blocks::act_layer::ActLayer;

/// timm's `attn_pool`.
#[derive(Debug)]
pub(super) struct AttentionPool {
    /// `[1, 1, dim]`.
    latent: Tensor,
    q: Linear,
    kv: Linear,
    proj: Linear,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    act: ActLayer,
    heads: i64,
}

impl AttentionPool {
    pub(super) fn new(scope: &Scope, config: &VitConfig) -> Result<Self> {
        let dim = config.embed_dim;
        let hidden = (dim as f64 * config.mlp_ratio) as i64;
        let linear = |name: &str, from, to| Linear::new(&scope.pp(name), from, to, true);
        let mlp = |name: &str, from, to| Linear::new(&scope.pp("mlp").pp(name), from, to, true);
        let spread = Init::TruncNormal((dim as f64).powf(-0.5));
        Ok(Self {
            latent: scope.param("latent", &[1, 1, dim], spread)?,
            q: linear("q", dim, dim)?,
            kv: linear("kv", dim, 2 * dim)?,
            proj: linear("proj", dim, dim)?,
            norm: LayerNorm::new(&scope.pp("norm"), dim, config.norm_eps)?,
            fc1: mlp("fc1", dim, hidden)?,
            fc2: mlp("fc2", hidden, dim)?,
            act: config.act_layer,
            heads: config.num_heads,
        })
    }

    /// `[batch, tokens, dim]` to `[batch, dim]`.
    pub(super) fn forward(&self, tokens: &Tensor) -> Tensor {
        let found = self.proj.forward(&self.attend(tokens));
        let hidden = self.act.forward(&self.fc1.forward(&self.norm.forward(&found)));
        (found + self.fc2.forward(&hidden)).select(1, 0)
    }

    /// What the query finds, `[batch, 1, dim]`.
    fn attend(&self, tokens: &Tensor) -> Tensor {
        let kind = tokens.kind();
        let of_heads = |t: &Tensor| t.unflatten(-1, [self.heads, -1]).transpose(1, 2);
        let query = of_heads(&self.q.forward(&cast(&self.latent, kind)));
        let (pair, dim) = (self.kv.forward(tokens), tokens.size()[2]);
        let part = |index: i64| of_heads(&pair.narrow(-1, index * dim, dim));
        let (key, value) = (part(0), part(1));
        let scale = (query.size()[3] as f64).powf(-0.5);
        let scores = (query * scale).matmul(&key.transpose(-2, -1));
        let weights = scores.softmax(-1, Kind::Float).to_kind(kind);
        weights.matmul(&value).transpose(1, 2).flatten(2, 3)
    }
}
