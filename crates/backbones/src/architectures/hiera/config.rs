//! The configuration of a Hiera, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention::AttentionConfig;
use crate::backbone::{FeatureInfo, check};
use crate::blocks::branch::drop_path_rate;
use crate::error::Result;

/// timm's choice for Hiera.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Rows and columns of the first convolution's kernel: timm's `patch_kernel`.
pub(super) const KERNEL: i64 = 7;

/// Pixels per position of the first stage: timm's `patch_stride`.
pub(super) const STRIDE: i64 = 4;

/// A Hiera in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HieraConfig {
    /// Height and width that positions are stored for; any other size runs, with positions resampled
    /// in every forward pass.
    pub img_size: [i64; 2],
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Channels of the first stage; each later stage has twice as many.
    pub embed_dim: i64,
    /// Attention heads of the first stage; each later stage has twice as many.
    pub num_heads: i64,
    /// Blocks per stage.
    pub stages: Vec<usize>,
    /// Positions of the first stage along one side of a unit of attention; later stages halve it.
    pub mask_unit_size: i64,
    /// Whether a stage attends within units; the first block of a stage does as the stage before.
    pub mask_unit_attn: Vec<bool>,
    /// Whether a matrix widens the stream between stages; else the largest numbers stand beside the
    /// means.
    pub use_expand_proj: bool,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Start of LayerScale; none without.
    pub init_values: Option<f64>,
    /// Whether positions are those of the image plus those within a unit.
    pub abs_win_pos_embed: bool,
    /// Rows and columns of the positions of the image, where there are such.
    pub global_pos_size: [i64; 2],
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

/// What one block is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockConfig {
    pub(super) attention: AttentionConfig,
    pub(super) hidden: i64,
    pub(super) init_values: Option<f64>,
    pub(super) use_expand_proj: bool,
    pub(super) drop_path: f64,
}

impl HieraConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let (stages, positive) = (self.stages.len(), "a positive number");
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        let depths = (1..16).contains(&stages) && !self.stages.contains(&0);
        check(depths, "stages", "1 to 15 stages of at least one block", &self.stages)?;
        let heads = self.num_heads > 0 && self.embed_dim % self.num_heads == 0;
        check(heads, "num_heads", format!("a divisor of {}", self.embed_dim), self.num_heads)?;
        let least = 1 << (stages - 1);
        let unit = self.mask_unit_size > 0 && self.mask_unit_size % least == 0;
        let expected = format!("a multiple of {least}, which {stages} stages halve to one");
        check(unit, "mask_unit_size", expected, self.mask_unit_size)?;
        let attn = self.mask_unit_attn.len() == stages;
        let expected = format!("one entry for each of {stages} stages");
        check(attn, "mask_unit_attn", expected, &self.mask_unit_attn)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        let sized = self.img_size.iter().all(|&side| side >= STRIDE);
        check(sized, "img_size", format!("sides of at least {STRIDE}"), self.img_size)?;
        let global = self.global_pos_size.iter().all(|&side| side > 0);
        check(global, "global_pos_size", "two positive numbers", self.global_pos_size)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)
    }

    /// Pixels along one side of a unit of the first stage.
    pub(super) fn unit_pixels(&self) -> i64 {
        STRIDE * self.mask_unit_size
    }

    /// Rows and columns of positions of the first stage, of whole units.
    pub(super) fn grid(&self) -> [i64; 2] {
        let unit = self.unit_pixels();
        self.img_size.map(|side| (side + unit - 1) / unit * self.mask_unit_size)
    }

    /// Channels of the last stage.
    pub(super) fn num_features(&self) -> i64 {
        self.embed_dim << (self.stages.len().max(1) - 1)
    }

    /// Blocks before a stage.
    pub(super) fn before(&self, stage: usize) -> usize {
        self.stages[..stage].iter().sum()
    }

    /// Block `at` of stage `stage`.
    pub(super) fn block(&self, stage: usize, at: usize) -> BlockConfig {
        // A block that pools still sees the map of the stage before, in its units.
        let pools = stage > 0 && at == 0;
        let seen = if pools { stage - 1 } else { stage };
        let (dim_out, heads) = (self.embed_dim << stage, self.num_heads << stage);
        let unit = self.mask_unit_size >> seen;
        BlockConfig {
            attention: AttentionConfig {
                dims: [self.embed_dim << seen, dim_out],
                heads,
                pools,
                unit: self.mask_unit_attn[seen].then_some(unit),
            },
            hidden: (dim_out as f64 * self.mlp_ratio) as i64,
            init_values: self.init_values,
            use_expand_proj: self.use_expand_proj,
            drop_path: drop_path_rate(
                self.drop_path_rate,
                self.before(stage) + at,
                self.stages.iter().sum(),
            ),
        }
    }

    /// One entry per stage.
    pub(super) fn feature_info(&self) -> Vec<FeatureInfo> {
        let level = |stage: usize| FeatureInfo {
            num_chs: self.embed_dim << stage,
            reduction: STRIDE << stage,
            module: format!("blocks.{}", self.before(stage + 1) - 1),
        };
        (0..self.stages.len()).map(level).collect()
    }
}
