//! One Swin block: window attention and a perceptron, each on a normalised copy of the stream; in
//! Swin V2 each reads the stream itself and is normalised behind.

use polyptych_tensor::{Activations, LayerNorm, Result, TaskPrompts, Tensor, cast};

use super::attention::WindowAttention;
use super::design::Design;
use super::prompts::Layout;
use super::task_prompts::Prompted;
use super::v2::attention::CosineAttention;
use super::windows::Windows;
use crate::blocks::branch::add_branch;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::prompts::BlockPrompts;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's `layers.i.blocks.j`.
#[derive(Debug)]
pub(super) struct Block {
    prompts: BlockPrompts,
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    beside: ParallelPath,
    drop_path: f64,
    is_post_norm: bool,
}

/// That of either version; tokens of tasks may pass through the first.
#[derive(Debug)]
enum Attention {
    V1(WindowAttention, Option<Box<dyn TaskPrompts>>),
    V2(CosineAttention),
}

/// What differs from block to block.
pub(super) struct BlockConfig<'a> {
    pub(super) design: Design<'a>,
    pub(super) stage: usize,
    pub(super) dim: i64,
    pub(super) heads: i64,
    pub(super) hidden: i64,
    pub(super) windows: Windows,
    pub(super) qkv_bias: bool,
    pub(super) drop_path: f64,
    /// What goes into and comes out of the patch embedding.
    pub(super) patch: [i64; 2],
}

impl Block {
    pub(super) fn new(scope: &LayerScope, config: &BlockConfig) -> Result<Self> {
        let BlockConfig { dim, hidden, drop_path, patch, .. } = *config;
        let norm =
            |name: &str| LayerNorm::new(&scope.params.pp(name), dim, super::config::NORM_EPS);
        Ok(Self {
            prompts: scope.prompts(dim, patch)?,
            norm1: norm("norm1")?,
            attn: Attention::new(scope, config)?,
            norm2: norm("norm2")?,
            mlp: Mlp::new(&scope.pp("mlp"), dim, hidden)?,
            beside: scope.parallel(dim)?,
            drop_path,
            is_post_norm: config.design.is_post_norm(),
        })
    }

    /// What joins the tokens in front of the block.
    pub(super) fn prompts(&self) -> &BlockPrompts {
        &self.prompts
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &ParallelPath {
        &self.beside
    }

    /// The tokens of tasks that pass the block beside `x`, if any; `before` are those that the block
    /// before left.
    pub(super) fn enter(&self, before: Option<Tensor>, x: &Activations) -> Option<Tensor> {
        let (_, own) = self.task_prompts()?;
        Some(cast(&own.enter(before, x.size()[0]), x.kind()))
    }

    /// A stream of `layout` to the same, and the tokens of tasks to what goes on of them.
    pub(super) fn forward(
        &self,
        (x, prompts): &(Activations, Option<Tensor>),
        layout: &Layout,
        train: bool,
    ) -> (BlockOutput, Option<Tensor>) {
        match (self.prompted(layout), prompts) {
            (Some(prompted), Some(prompts)) => prompted.forward(x, prompts, train),
            _ if self.is_post_norm => (self.forward_post_norm(x, layout, train), None),
            _ => (self.forward_alone(x, layout, train), None),
        }
    }

    /// The block with what passes it, where something does.
    fn prompted(&self, layout: &Layout) -> Option<Prompted<'_>> {
        let Self { norm1, norm2, mlp, beside, drop_path, .. } = self;
        let (attn, own) = self.task_prompts()?;
        let (drop_path, resolution) = (*drop_path, layout.resolution);
        Some(Prompted { norm1, attn, norm2, mlp, beside, drop_path, own, resolution })
    }

    fn task_prompts(&self) -> Option<(&WindowAttention, &dyn TaskPrompts)> {
        match &self.attn {
            Attention::V1(attn, Some(own)) => Some((attn, own.as_ref())),
            _ => None,
        }
    }

    fn forward_alone(&self, x: &Activations, layout: &Layout, train: bool) -> BlockOutput {
        let attended = self.attn.forward(&x.map(|t| self.norm1.forward(t)), layout, train);
        let x = add_branch(x, &attended, self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = add_branch(&x, &mixed, self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }

    fn forward_post_norm(&self, x: &Activations, layout: &Layout, train: bool) -> BlockOutput {
        let attended = self.attn.forward(x, layout, train).map(|t| self.norm1.forward(t));
        let x = add_branch(x, &attended, self.drop_path, train);
        let mixed = self.mlp.forward(&x, train).map(|t| self.norm2.forward(t));
        let z = add_branch(&x, &mixed, self.drop_path, train);
        // The perceptron reads the stream as it is.
        (z, self.beside.as_ref().map(|path| path.forward(&x, &x, train)))
    }
}

impl Attention {
    fn new(scope: &LayerScope, config: &BlockConfig) -> Result<Self> {
        let BlockConfig { dim, heads, windows, qkv_bias, stage, .. } = *config;
        let attn = &scope.pp("attn");
        Ok(match config.design.pretrained_window(stage) {
            None => Self::V1(
                WindowAttention::new(attn, dim, heads, windows, qkv_bias)?,
                scope.task_prompts(dim)?,
            ),
            Some(pretrained) => {
                Self::V2(CosineAttention::new(attn, [dim, heads], windows, pretrained, qkv_bias)?)
            }
        })
    }

    fn forward(&self, x: &Activations, layout: &Layout, train: bool) -> Activations {
        match self {
            Attention::V1(attn, _) => attn.forward(x, layout, train),
            Attention::V2(attn) => attn.forward(x, layout, train),
        }
    }
}
