//! One block of the text tower: attention to earlier tokens and a perceptron, each on a normalised
//! copy of the stream.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, LayerNorm, Projection, Result, SiteKind, Tensor};

use super::config::TextConfig;
use crate::blocks::branch::add_branch;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's names of a ViT's block.
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    qkv: Box<dyn Projection>,
    proj: Box<dyn Projection>,
    heads: i64,
    norm2: LayerNorm,
    mlp: Mlp,
    beside: ParallelPath,
}

impl Block {
    pub(super) fn new(scope: &LayerScope, config: &TextConfig) -> Result<Self> {
        let dim = config.embed_dim;
        let hidden = (dim as f64 * config.mlp_ratio) as i64;
        let norm = |name: &str| LayerNorm::new(&scope.params.pp(name), dim, config.norm_eps);
        let attn = scope.pp("attn");
        Ok(Self {
            norm1: norm("norm1")?,
            qkv: attn.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], true)?,
            proj: attn.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            heads: config.num_heads,
            norm2: norm("norm2")?,
            mlp: Mlp::with_act(&scope.pp("mlp"), dim, hidden, config.act_layer)?,
            beside: scope.parallel(dim)?,
        })
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &ParallelPath {
        &self.beside
    }

    /// `[batch, tokens, dim]` to the same; `mask` is `[1, heads, tokens, tokens]`.
    pub(super) fn forward(&self, x: &Activations, mask: &Tensor, train: bool) -> BlockOutput {
        let qkv = self.qkv.forward(&x.map(|t| self.norm1.forward(t)), train);
        let attend = |t: &Tensor| attention(t, self.heads, Some(&mask.to_kind(t.kind())));
        let x = add_branch(x, &self.proj.forward(&qkv.map(attend), train), 0.0, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let z = add_branch(&x, &self.mlp.forward(&normed, train), 0.0, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}
