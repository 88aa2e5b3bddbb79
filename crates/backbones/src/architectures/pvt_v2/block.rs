//! One block: attention and a perceptron, each on a normalised copy of the stream.

use polyptych_tensor::{Activations, LayerNorm, Result};

use super::attention::{Attention, AttentionConfig};
use super::config::{NORM_EPS, PvtV2Config};
use super::mlp::ConvMlp;
use crate::blocks::branch::{add_branch, drop_path_rate};
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's `stages.i.blocks.j`.
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: ConvMlp,
    beside: ParallelPath,
    drop_path: f64,
}

impl Block {
    /// Block `at` of stage `stage`.
    pub(super) fn new(
        scope: &LayerScope,
        config: &PvtV2Config,
        stage: usize,
        at: usize,
    ) -> Result<Self> {
        let dim = config.embed_dims[stage];
        let hidden = (dim as f64 * config.mlp_ratios[stage]) as i64;
        let norm = |name: &str| LayerNorm::new(&scope.params.pp(name), dim, NORM_EPS);
        let attn = AttentionConfig {
            dim,
            heads: config.num_heads[stage],
            sr_ratio: config.sr_ratios[stage],
            linear: config.linear,
            qkv_bias: config.qkv_bias,
        };
        let before: usize = config.depths[..stage].iter().sum();
        let blocks = config.depths.iter().sum();
        Ok(Self {
            norm1: norm("norm1")?,
            attn: Attention::new(&scope.pp("attn"), attn)?,
            norm2: norm("norm2")?,
            mlp: ConvMlp::new(&scope.pp("mlp"), dim, hidden, config.linear)?,
            beside: scope.parallel(dim)?,
            drop_path: drop_path_rate(config.drop_path_rate, before + at, blocks),
        })
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &ParallelPath {
        &self.beside
    }

    /// `[batch, height, width, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> BlockOutput {
        let attended = self.attn.forward(&x.map(|t| self.norm1.forward(t)), train);
        let x = add_branch(x, &attended, self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = add_branch(&x, &mixed, self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}
