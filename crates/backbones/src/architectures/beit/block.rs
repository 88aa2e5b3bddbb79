//! One block: attention and a perceptron, each on a normalised copy of the stream.

use polyptych_tensor::{Activations, Init, LayerNorm, Result, Tensor, cast};

use super::attention::Attention;
use super::config::{BeitConfig, NORM_EPS};
use crate::blocks::branch::{add_branch, drop_path_rate};
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::plain_trunk::PlainBlock;
use crate::blocks::prompts::BlockPrompts;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's `blocks.i`.
#[derive(Debug)]
pub(super) struct Block {
    prompts: BlockPrompts,
    norm1: LayerNorm,
    attn: Attention,
    /// `[dim]`: LayerScale.
    gamma_1: Option<Tensor>,
    norm2: LayerNorm,
    mlp: Mlp,
    beside: ParallelPath,
    gamma_2: Option<Tensor>,
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
    pub(super) fn new(scope: &LayerScope, config: &BeitConfig, index: usize) -> Result<Self> {
        let dim = config.embed_dim;
        let hidden = (dim as f64 * config.mlp_ratio) as i64;
        let norm = |name: &str| LayerNorm::new(&scope.params.pp(name), dim, NORM_EPS);
        let gamma = |name: &str| {
            let scale = |init| scope.params.param(name, &[dim], Init::Const(init));
            config.init_values.map(scale).transpose()
        };
        Ok(Self {
            prompts: scope.prompts(dim, [3 * config.patch_size * config.patch_size, dim])?,
            norm1: norm("norm1")?,
            attn: Attention::new(&scope.pp("attn"), config)?,
            gamma_1: gamma("gamma_1")?,
            norm2: norm("norm2")?,
            mlp: Mlp::new(&scope.pp("mlp"), dim, hidden)?,
            beside: scope.parallel(dim)?,
            gamma_2: gamma("gamma_2")?,
            drop_path: drop_path_rate(config.drop_path_rate, index, config.depth),
        })
    }

    /// What is added to the scores of attention, see [`Attention::bias`].
    pub(super) fn bias(
        &self,
        grid: [i64; 2],
        index: &Tensor,
        shared: Option<&Tensor>,
    ) -> Option<Tensor> {
        self.attn.bias(grid, index, shared)
    }

    /// `[batch, tokens, dim]` to the same.
    pub(super) fn forward(
        &self,
        x: &Activations,
        bias: Option<&Tensor>,
        train: bool,
    ) -> BlockOutput {
        let attended = self.attn.forward(&x.map(|t| self.norm1.forward(t)), bias, train);
        let x = add_branch(x, &scaled(self.gamma_1.as_ref(), attended), self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = add_branch(&x, &scaled(self.gamma_2.as_ref(), mixed), self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}

fn scaled(gamma: Option<&Tensor>, branch: Activations) -> Activations {
    match gamma {
        Some(gamma) => branch.map(|t| t * cast(gamma, t.kind())),
        None => branch,
    }
}
