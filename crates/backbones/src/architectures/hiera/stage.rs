//! One stage: blocks at one resolution, the first of which shrinks the map of the stage before.

use std::rc::Rc;

use polyptych_tensor::{Activations, Result};

use super::block::Block;
use super::config::HieraConfig;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{ParallelPath, StageTap};

/// A run of timm's `blocks`.
#[derive(Debug)]
pub(super) struct Stage(Vec<Rc<Block>>);

impl Stage {
    pub(super) fn new(scope: &LayerScope, config: &HieraConfig, index: usize) -> Result<Self> {
        let scope = scope.pp("blocks").in_stage(index, config.stages.len());
        let (before, depth) = (config.before(index), config.stages[index]);
        let block = |at: usize| {
            let scope = scope.pp(before + at).in_last_block(at + 1 == depth);
            Block::new(&scope, config.block(index, at)).map(Rc::new)
        };
        Ok(Self((0..depth).map(block).collect::<Result<_>>()?))
    }

    /// What stands beside the MLP of every block.
    pub(super) fn beside(&self) -> impl Iterator<Item = &ParallelPath> {
        self.0.iter().map(|block| block.beside())
    }

    /// The level of the stage, `[batch, height, width, dim]`.
    pub(super) fn forward(
        &self,
        x: &Activations,
        grad_checkpointing: GradCheckpointing,
        train: bool,
    ) -> Activations {
        let (mut z, mut tap) = (x.shallow_clone(), StageTap::default());
        for block in &self.0 {
            let output = grad_checkpointing.run(block, &z, move |block, z| block.forward(z, train));
            z = tap.join(output, block.beside());
        }
        tap.level(z)
    }
}
