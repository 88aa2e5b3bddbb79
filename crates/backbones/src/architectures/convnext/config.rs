//! The configuration of a ConvNeXt, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{FeatureInfo, check};
use crate::error::Result;

/// timm's choice for ConvNeXt.
pub(super) const NORM_EPS: f64 = 1e-6;

/// A ConvNeXt in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvNextConfig {
    /// Height and width of the images that the backbone is for; no parameter depends on them.
    pub img_size: [i64; 2],
    /// Pixels per position of the first stage.
    pub patch_size: i64,
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Channels per stage.
    pub dims: Vec<i64>,
    /// Start of LayerScale; none without.
    pub ls_init_value: Option<f64>,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl ConvNextConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        let positive = "a positive number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        let depths = (1..16).contains(&stages) && !self.depths.contains(&0);
        check(depths, "depths", "1 to 15 stages of at least one block", &self.depths)?;
        let dims = self.dims.len() == stages && self.dims.iter().all(|&dim| dim > 0);
        let expected = format!("a positive number for each of {stages} stages");
        check(dims, "dims", expected, &self.dims)?;
        let least = self.patch_size;
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)
    }

    /// Channels of the last stage.
    pub(super) fn num_features(&self) -> i64 {
        self.dims.last().copied().unwrap_or(0)
    }

    /// Pixels per position of the last stage.
    pub(super) fn reduction(&self) -> i64 {
        self.patch_size << (self.depths.len().max(1) - 1)
    }

    /// One entry per stage.
    pub(super) fn feature_info(&self) -> Vec<FeatureInfo> {
        let level = |(stage, &num_chs): (usize, &i64)| FeatureInfo {
            num_chs,
            reduction: self.patch_size << stage,
            module: format!("stages.{stage}"),
        };
        self.dims.iter().enumerate().map(level).collect()
    }
}
