//! One stage: a convolution where the map shrinks, blocks at one resolution, and a norm.

use std::rc::Rc;

use polyptych_tensor::{Activations, LayerNorm, Result};

use super::block::Block;
use super::config::{NORM_EPS, PvtV2Config};
use super::embed::OverlapPatchEmbed;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{ParallelPath, StageTap};

/// timm's `stages.i`; `downsample` stands at its start in every stage but the first.
#[derive(Debug)]
pub(super) struct Stage {
    downsample: Option<OverlapPatchEmbed>,
    blocks: Vec<Rc<Block>>,
    norm: LayerNorm,
}

impl Stage {
    pub(super) fn new(scope: &LayerScope, config: &PvtV2Config, index: usize) -> Result<Self> {
        let scope = scope.pp("stages").pp(index).in_stage(index, config.depths.len());
        let (depth, dim) = (config.depths[index], config.embed_dims[index]);
        let downsample = |before: usize| {
            let chans = [config.embed_dims[before], dim];
            OverlapPatchEmbed::new(&scope.params.pp("downsample"), chans, [3, 2])
        };
        let block = |at: usize| {
            let scope = scope.pp("blocks").pp(at).in_last_block(at + 1 == depth);
            Block::new(&scope, config, index, at).map(Rc::new)
        };
        Ok(Self {
            downsample: index.checked_sub(1).map(downsample).transpose()?,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::new(&scope.params.pp("norm"), dim, NORM_EPS)?,
        })
    }

    /// What stands beside the MLP of every block.
    pub(super) fn beside(&self) -> impl Iterator<Item = &ParallelPath> {
        self.blocks.iter().map(|block| block.beside())
    }

    /// The level of the stage, `[batch, height, width, dim]`.
    pub(super) fn forward(
        &self,
        x: &Activations,
        grad_checkpointing: GradCheckpointing,
        train: bool,
    ) -> Activations {
        let mut z = match &self.downsample {
            Some(downsample) => x.map(|t| downsample.forward(t)),
            None => x.shallow_clone(),
        };
        let mut tap = StageTap::default();
        for block in &self.blocks {
            let output = grad_checkpointing.run(block, &z, move |block, z| block.forward(z, train));
            z = tap.join(output, block.beside());
        }
        tap.level(z).map(|t| self.norm.forward(t))
    }
}
