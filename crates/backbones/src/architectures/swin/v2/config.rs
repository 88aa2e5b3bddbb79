//! The configuration of a Swin V2, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::config::SwinConfig;
use super::super::window_size::WindowSize;
use crate::backbone::check;
use crate::error::Result;

/// A Swin V2 in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwinV2Config {
    /// Height and width that windows are planned for; any other size runs, padded. Windows follow
    /// the rule of [`SwinConfig::img_size`].
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
    /// The same of the windows that biases were trained with, per stage; 0 for those above, and no
    /// entries for 0 everywhere.
    #[serde(default)]
    pub pretrained_window_sizes: Vec<i64>,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Whether query and value have a bias.
    pub qkv_bias: bool,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl SwinV2Config {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.plain().validate()?;
        let (sizes, stages) = (&self.pretrained_window_sizes, self.depths.len());
        let valid =
            sizes.is_empty() || (sizes.len() == stages && sizes.iter().all(|&size| size >= 0));
        let expected = format!("nothing, or no negative number for each of {stages} stages");
        check(valid, "pretrained_window_sizes", expected, sizes)
    }

    /// The Swin of these numbers.
    pub(in crate::architectures::swin) fn plain(&self) -> SwinConfig {
        SwinConfig {
            img_size: self.img_size,
            patch_size: self.patch_size,
            in_chans: self.in_chans,
            num_classes: self.num_classes,
            embed_dim: self.embed_dim,
            depths: self.depths.clone(),
            num_heads: self.num_heads.clone(),
            window_size: self.window_size.clone(),
            mlp_ratio: self.mlp_ratio,
            qkv_bias: self.qkv_bias,
            drop_path_rate: self.drop_path_rate,
        }
    }
}
