//! One stage: a norm and a convolution where the map shrinks, then blocks at one resolution.

use std::rc::Rc;

use polyptych_tensor::{Activations, Conv2d, LayerNorm, Result, Scope, Tensor};

use super::block::Block;
use super::config::{ConvNextConfig, NORM_EPS};
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{ParallelPath, StageTap};

/// A convolution whose stride is its kernel.
#[derive(Debug)]
pub(super) struct PatchConv {
    conv: Conv2d,
    kernel: i64,
}

impl PatchConv {
    pub(super) fn new(scope: &Scope, chans: [i64; 2], kernel: i64) -> Result<Self> {
        Ok(Self { conv: Conv2d::new(scope, chans, [kernel; 2], true)?, kernel })
    }

    /// `[batch, height, width, from]`, padded with zeros at the right and the bottom, to
    /// `[batch, height / kernel, width / kernel, to]`, rounded up.
    pub(super) fn forward(&self, map: &Tensor) -> Tensor {
        let missing = |axis: usize| (-map.size()[axis]).rem_euclid(self.kernel);
        let padded = map.permute([0, 3, 1, 2]).constant_pad_nd([0, missing(2), 0, missing(1)]);
        self.conv.forward(&padded).permute([0, 2, 3, 1]).contiguous()
    }
}

/// timm's `stages.i`; `downsample` stands at its start in every stage but the first.
#[derive(Debug)]
pub(super) struct Stage {
    downsample: Option<(LayerNorm, PatchConv)>,
    blocks: Vec<Rc<Block>>,
}

impl Stage {
    pub(super) fn new(scope: &LayerScope, config: &ConvNextConfig, index: usize) -> Result<Self> {
        let scope = scope.pp("stages").pp(index).in_stage(index, config.depths.len());
        let depth = config.depths[index];
        let downsample = |before: usize| -> Result<_> {
            let (from, scope) = (config.dims[before], scope.params.pp("downsample"));
            let norm = LayerNorm::new(&scope.pp(0), from, NORM_EPS)?;
            Ok((norm, PatchConv::new(&scope.pp(1), [from, config.dims[index]], 2)?))
        };
        let block = |at: usize| {
            let scope = scope.pp("blocks").pp(at).in_last_block(at + 1 == depth);
            Block::new(&scope, config, index, at).map(Rc::new)
        };
        Ok(Self {
            downsample: index.checked_sub(1).map(downsample).transpose()?,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
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
            Some((norm, conv)) => x.map(|t| conv.forward(&norm.forward(t))),
            None => x.shallow_clone(),
        };
        let mut tap = StageTap::default();
        for block in &self.blocks {
            let output = grad_checkpointing.run(block, &z, move |block, z| block.forward(z, train));
            z = tap.join(output, block.beside());
        }
        tap.level(z)
    }
}
