//! The way through blocks that are alike, on one resolution: prompts, taps and levels.

use std::rc::Rc;

use polyptych_tensor::{Activations, Plan, Result};

use crate::backbone::{FeatureInfo, Options};
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::plain_stages::{block_scope, ends_with, feature_info, map_of, widen_levels};
use crate::blocks::prompts::{BlockPrompts, PromptTokens};
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::{BlockOutput, ParallelPath, StageTap};

/// A block among others that are alike.
pub(crate) trait PlainBlock: 'static {
    /// What joins the tokens in front of the block.
    fn prompts(&self) -> &BlockPrompts;

    /// What stands beside the MLP.
    fn beside(&self) -> &ParallelPath;
}

/// What all blocks have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainShape {
    pub(crate) depth: usize,
    pub(crate) dim: i64,
    pub(crate) patch_size: i64,
    /// Tokens before the patches.
    pub(crate) prefix: i64,
}

/// timm's `blocks`.
#[derive(Debug)]
pub(crate) struct PlainTrunk<B> {
    blocks: Vec<Rc<B>>,
    feature_info: Vec<FeatureInfo>,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    prefix: i64,
}

impl<B: PlainBlock> PlainTrunk<B> {
    /// Blocks of `make`, each from its scope and its index.
    pub(crate) fn new(
        top: &LayerScope,
        plan: &dyn Plan,
        options: Options,
        shape: PlainShape,
        make: impl Fn(&LayerScope, usize) -> Result<B>,
    ) -> Result<Self> {
        let PlainShape { depth, dim, patch_size, prefix } = shape;
        let block = |index| make(&block_scope(top, index, depth), index).map(Rc::new);
        let blocks = (0..depth).map(block).collect::<Result<Vec<_>>>()?;
        let beside: Vec<_> = blocks.iter().map(|block| block.beside()).collect();
        let mut feature_info = feature_info(depth, dim, patch_size);
        widen_levels(&mut feature_info, &beside, !options.features_only)?;
        Ok(Self {
            blocks,
            feature_info,
            passed_streams: PassedStreams::of(plan),
            grad_checkpointing: GradCheckpointing::of(options),
            prefix,
        })
    }

    /// One entry per level.
    pub(crate) fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    /// Tokens behind the last block, `[batch, prefix + rows * columns, dim]`, and the map of every
    /// level, `[batch, rows, columns, dim]`.
    ///
    /// `forward` gets how many tokens stand before the patches, prompts among them, and gives
    /// what a block does.
    pub(crate) fn forward<F>(
        &self,
        tokens: Activations,
        grid: [i64; 2],
        train: bool,
        forward: impl Fn(i64) -> F,
    ) -> (Activations, Vec<Activations>)
    where
        F: Fn(&B, &Activations) -> BlockOutput + 'static,
    {
        self.forward_meeting(tokens, grid, train, &mut |_, x| x, forward)
    }

    /// Number of blocks.
    pub(crate) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// As [`PlainTrunk::forward`]; behind each block, by its index, `meet` says what goes on.
    pub(crate) fn forward_meeting<F>(
        &self,
        tokens: Activations,
        grid: [i64; 2],
        train: bool,
        meet: &mut dyn FnMut(usize, Activations) -> Activations,
        forward: impl Fn(i64) -> F,
    ) -> (Activations, Vec<Activations>)
    where
        F: Fn(&B, &Activations) -> BlockOutput + 'static,
    {
        let (mut x, depth) = (tokens, self.blocks.len());
        let mut levels = Vec::with_capacity(self.feature_info.len());
        let (mut held, mut tap) = (PromptTokens::none(self.prefix), StageTap::default());
        for (index, block) in self.blocks.iter().enumerate() {
            x = held.renew(x, block.prompts(), train);
            let output = self.grad_checkpointing.run(block, &x, forward(held.end()));
            x = meet(index, tap.join(output, block.beside()));
            if ends_with(index, depth) {
                x = std::mem::take(&mut tap).level(x);
                levels.push(x.map(|t| map_of(t, held.end(), grid)));
                // What stays behind leaves here; the last stage's streams are also the final features.
                if index + 1 < depth {
                    x = self.passed_streams.of_level(&x);
                }
            }
        }
        (held.without(x), levels)
    }
}
