//! The configuration of a PVT v2, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{FeatureInfo, check};
use crate::error::Result;

/// Eps of the norms of blocks and stages.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Eps of those behind convolutions.
pub(super) const EMBED_EPS: f64 = 1e-5;

/// Pixels per position of the first stage.
const REDUCTION: i64 = 4;

/// A PVT v2 in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PvtV2Config {
    /// Height and width of the images that the backbone is for; no parameter depends on them.
    pub img_size: [i64; 2],
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Channels per stage.
    pub embed_dims: Vec<i64>,
    /// Attention heads per stage.
    pub num_heads: Vec<i64>,
    /// Positions per position of the map of keys and values along each side, per stage.
    pub sr_ratios: Vec<i64>,
    /// Hidden units of a block's perceptron per channel, per stage.
    pub mlp_ratios: Vec<f64>,
    /// Whether `attn.q` and `attn.kv` have a bias.
    pub qkv_bias: bool,
    /// Whether keys and values are of 7 by 7 means in every stage, instead of `sr_ratios`.
    #[serde(default)]
    pub linear: bool,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl PvtV2Config {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        let positive = "a positive number";
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        let depths = (1..16).contains(&stages) && !self.depths.contains(&0);
        check(depths, "depths", "1 to 15 stages of at least one block", &self.depths)?;
        let each = || format!("a positive number for each of {stages} stages");
        let dims = self.embed_dims.len() == stages && self.embed_dims.iter().all(|&dim| dim > 0);
        check(dims, "embed_dims", each(), &self.embed_dims)?;
        let ratios = self.sr_ratios.len() == stages && self.sr_ratios.iter().all(|&to| to > 0);
        check(ratios, "sr_ratios", each(), &self.sr_ratios)?;
        let mlps = self.mlp_ratios.len() == stages && self.mlp_ratios.iter().all(|&to| to > 0.0);
        check(mlps, "mlp_ratios", each(), &self.mlp_ratios)?;
        let mut pairs = self.embed_dims.iter().zip(&self.num_heads);
        let divide = pairs.all(|(&dim, &heads)| heads > 0 && dim % heads == 0);
        let heads = self.num_heads.len() == stages && divide;
        check(heads, "num_heads", format!("{stages} divisors of embed_dims"), &self.num_heads)?;
        let least = self.least_side();
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)
    }

    /// The side of an image of which every stage has a position of keys and values.
    pub(super) fn least_side(&self) -> i64 {
        let of_stage = |(stage, &ratio): (usize, &i64)| (REDUCTION << stage) * ratio;
        let all = self.sr_ratios.iter().enumerate().map(of_stage);
        if self.linear { 1 } else { all.max().unwrap_or(1) }
    }

    /// Channels of the last stage.
    pub(super) fn num_features(&self) -> i64 {
        self.embed_dims.last().copied().unwrap_or(0)
    }

    /// One entry per stage.
    pub(super) fn feature_info(&self) -> Vec<FeatureInfo> {
        let level = |(stage, &num_chs): (usize, &i64)| FeatureInfo {
            num_chs,
            reduction: REDUCTION << stage,
            module: format!("stages.{stage}"),
        };
        self.embed_dims.iter().enumerate().map(level).collect()
    }
}
