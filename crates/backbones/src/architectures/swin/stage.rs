//! One stage: patch merging where the map shrinks, then blocks at one resolution.

use std::rc::Rc;

use polyptych_tensor::{Activations, Result, Tensor};

use super::block::{Block, BlockConfig};
use super::config::SwinConfig;
use super::design::Design;
use super::merging::PatchMerging;
use super::prompts::Layout;
use crate::blocks::branch::drop_path_rate;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{ParallelPath, StageTap};

/// timm's `layers.i`; `downsample` stands at its start in every stage but the first.
#[derive(Debug)]
pub(super) struct Stage {
    /// Halves the map that comes from the stage before.
    pub(super) downsample: Option<Rc<PatchMerging>>,
    blocks: Vec<Rc<Block>>,
}

impl Stage {
    pub(super) fn new(
        scope: &LayerScope,
        config: &SwinConfig,
        design: Design,
        index: usize,
    ) -> Result<Self> {
        let stages = config.depths.len();
        let scope = scope.pp("layers").pp(index).in_stage(index, stages);
        // The merging belongs, for a plan, to the stage whose resolution it ends.
        let downsample = match index.checked_sub(1) {
            Some(before) => Some(Rc::new(PatchMerging::new(
                &scope.pp("downsample").in_stage(before, stages),
                config.dim(before),
                design.is_post_norm(),
            )?)),
            None => None,
        };
        let depth = config.depths[index];
        let block = |at: usize| {
            let scope = scope.pp("blocks").pp(at).in_last_block(at + 1 == depth);
            Block::new(&scope, &block_config(config, design, index, at)).map(Rc::new)
        };
        Ok(Self { downsample, blocks: (0..depth).map(block).collect::<Result<_>>()? })
    }

    /// `[batch, height, width, dim]` to the same, through all blocks, and the tokens of tasks that
    /// the stage before left to those that this one leaves.
    pub(super) fn forward_blocks(
        &self,
        (x, mut task_prompts): (Activations, Option<Tensor>),
        grad_checkpointing: GradCheckpointing,
        train: bool,
    ) -> (Activations, Option<Tensor>) {
        let (mut layout, mut tap) = (Layout::of(&x), StageTap::default());
        let mut z = x;
        for block in &self.blocks {
            z = layout.renew(z, block.prompts(), train);
            let prompts = block.enter(task_prompts, &z);
            let input = (z, prompts);
            let (output, left) = grad_checkpointing
                .run(block, &input, move |block, input| block.forward(input, &layout, train));
            z = tap.join(output, block.beside());
            task_prompts = left;
        }
        (layout.leave(tap.level(z)), task_prompts)
    }

    /// What stands beside the MLP of every block.
    pub(super) fn beside(&self) -> impl Iterator<Item = &ParallelPath> {
        self.blocks.iter().map(|block| block.beside())
    }
}

fn block_config<'a>(
    config: &SwinConfig,
    design: Design<'a>,
    stage: usize,
    at: usize,
) -> BlockConfig<'a> {
    let before: usize = config.depths[..stage].iter().sum();
    let dim = config.dim(stage);
    BlockConfig {
        design,
        stage,
        dim,
        heads: config.num_heads[stage],
        hidden: (dim as f64 * config.mlp_ratio) as i64,
        windows: config.windows(stage, at % 2 == 1),
        qkv_bias: config.qkv_bias,
        drop_path: drop_path_rate(config.drop_path_rate, before + at, config.depths.iter().sum()),
        patch: [3 * config.patch_size * config.patch_size, config.embed_dim],
    }
}
