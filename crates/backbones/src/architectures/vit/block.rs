//! One ViT block: attention and a perceptron, each on a normalised copy of the stream.

use polyptych_tensor::{Activations, LayerNorm, Result};

use super::attention::Attention;
use super::config::VitConfig;
use super::layer_scale::LayerScale;
use super::mlp::VitMlp;
use crate::blocks::branch::{add_branch, drop_path_rate};
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::plain_trunk::PlainBlock;
use crate::blocks::prompts::BlockPrompts;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's `blocks.i`.
#[derive(Debug)]
pub(super) struct Block {
    prompts: BlockPrompts,
    norm1: LayerNorm,
    attn: Attention,
    ls1: Option<LayerScale>,
    norm2: LayerNorm,
    mlp: VitMlp,
    beside: ParallelPath,
    ls2: Option<LayerScale>,
    drop_path: f64,
}

impl PlainBlock for Block {
    fn prompts(&self) -> &BlockPrompts {
        &self.prompts
    }

    fn beside(&self) -> &ParallelPath {
        &self.beside
    }
}

impl Block {
    pub(super) fn new(scope: &LayerScope, config: &VitConfig, index: usize) -> Result<Self> {
        let dim = config.embed_dim;
        let norm = |name: &str| LayerNorm::new(&scope.params.pp(name), dim, config.norm_eps);
        let scale = |name: &str| {
            let layer = |init| LayerScale::new(&scope.params.pp(name), dim, init);
            config.init_values.map(layer).transpose()
        };
        Ok(Self {
            prompts: scope.prompts(dim, [3 * config.patch_size * config.patch_size, dim])?,
            norm1: norm("norm1")?,
            attn: Attention::new(&scope.pp("attn"), dim, config.num_heads, config.qkv_bias)?,
            ls1: scale("ls1")?,
            norm2: norm("norm2")?,
            mlp: VitMlp::new(&scope.pp("mlp"), config)?,
            beside: scope.parallel(dim)?,
            ls2: scale("ls2")?,
            drop_path: drop_path_rate(config.drop_path_rate, index, config.depth),
        })
    }

    /// `[batch, tokens, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> BlockOutput {
        let attended = self.attn.forward(&x.map(|t| self.norm1.forward(t)), train);
        let x = add_branch(x, &scaled(self.ls1.as_ref(), attended), self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = add_branch(&x, &scaled(self.ls2.as_ref(), mixed), self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}

fn scaled(scale: Option<&LayerScale>, branch: Activations) -> Activations {
    match scale {
        Some(scale) => scale.forward(&branch),
        None => branch,
    }
}
