//! The configuration of a Swin, in timm's words.

use polyptych_tensor::Pyramid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window_size::WindowSize;
use super::windows::Windows;
use crate::backbone::{FeatureInfo, check};
use crate::error::Result;

/// PyTorch's default, which Swin has.
pub(super) const NORM_EPS: f64 = 1e-5;

/// A Swin in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwinConfig {
    /// Height and width that windows are planned for; any other size runs, padded.
    ///
    /// Windows are no larger than the stage's map at this size, and nothing is shifted on an
    /// axis that one window covers. A side of `n` pixels has `ceil(n / patch_size)` positions in
    /// the first stage and half as many, rounded up, in each later one, as in timm.
    pub img_size: [i64; 2],
    /// Pixels per position of the first stage.
    pub patch_size: i64,
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Channels of the first stage; each later stage has twice as many.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Attention heads per stage.
    pub num_heads: Vec<i64>,
    /// Positions along one side of a window, of all stages or of each.
    pub window_size: WindowSize,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl SwinConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        let positive = "a positive number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        let rates = 0.0..1.0;
        let rate = self.drop_path_rate;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)?;
        let depths = (1..16).contains(&stages) && !self.depths.contains(&0);
        check(depths, "depths", "1 to 15 stages of at least one block", &self.depths)?;
        let windows = self.window_size.is_of(stages);
        let expected = format!("a positive number, or one for each of {stages} stages");
        check(windows, "window_size", expected, &self.window_size)?;
        let least = self.patch_size;
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let divide = |(stage, &heads): (usize, &i64)| heads > 0 && self.dim(stage) % heads == 0;
        let heads = self.num_heads.len() == stages && self.num_heads.iter().enumerate().all(divide);
        let expected = format!("{stages} numbers that divide embed_dim times 1, 2, 4, ..");
        check(heads, "num_heads", expected, &self.num_heads)
    }

    /// Channels of stage `stage`.
    pub(super) fn dim(&self, stage: usize) -> i64 {
        self.embed_dim << stage
    }

    /// Channels of the last stage.
    pub(super) fn num_features(&self) -> i64 {
        self.dim(self.depths.len() - 1)
    }

    /// Extent of a window in stage `stage`, `[rows, columns]`; nothing where there is no such
    /// stage.
    pub(super) fn window(&self, stage: usize) -> Option<[i64; 2]> {
        (stage < self.depths.len()).then(|| self.windows(stage, false).size)
    }

    /// How blocks of stage `stage` cut their map.
    pub(super) fn windows(&self, stage: usize, shifted: bool) -> Windows {
        self.windows_of(self.resolution(stage), stage, shifted)
    }

    /// How blocks of stage `stage` cut a map of `resolution`.
    pub(super) fn windows_of(&self, resolution: [i64; 2], stage: usize, shifted: bool) -> Windows {
        // Every stage of a checked configuration has a window.
        Windows::new(resolution, self.window_size.of(stage).unwrap_or(1), shifted)
    }

    /// Positions of stage `stage` at the planned size, `[rows, columns]`, as maps have them that
    /// are padded to whole patches and, before they are merged, to even sides.
    pub(super) fn resolution(&self, stage: usize) -> [i64; 2] {
        let reduction = self.patch_size << stage;
        self.img_size.map(|side| side / reduction + i64::from(side % reduction > 0))
    }

    /// One entry per stage.
    pub(super) fn feature_info(&self, pyramid: Pyramid) -> Vec<FeatureInfo> {
        let stages = self.depths.len();
        let level = |stage: usize| {
            let merged = pyramid == Pyramid::AfterMerging && stage + 1 < stages;
            let (at, below) = if merged { (stage + 1, ".downsample") } else { (stage, "") };
            FeatureInfo {
                num_chs: self.dim(at),
                reduction: self.patch_size << at,
                module: format!("layers.{at}{below}"),
            }
        };
        (0..stages).map(level).collect()
    }
}
