//! The configuration of a BEiT, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architectures::vit::GlobalPool;
use crate::backbone::check;
use crate::blocks::plain_trunk::PlainShape;
use crate::blocks::token_embed::TokenEmbedConfig;
use crate::error::Result;

/// timm's choice for BEiT.
pub(super) const NORM_EPS: f64 = 1e-6;

/// Tokens before the patches: the class token.
const PREFIX: i64 = 1;

/// A BEiT in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeitConfig {
    /// Height and width that positions are stored for; any other size runs, with positions and
    /// tables of relative positions resampled in every forward pass.
    pub img_size: [i64; 2],
    /// Pixels along one side of a patch.
    pub patch_size: i64,
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// What the classifier reads: `avg` or `token`.
    pub global_pool: GlobalPool,
    /// Length of a token.
    pub embed_dim: i64,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: i64,
    /// Whether query and value have a bias.
    pub qkv_bias: bool,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Start of LayerScale; none without.
    pub init_values: Option<f64>,
    /// Whether there are learned positions.
    pub use_abs_pos_emb: bool,
    /// Whether every block has a table of relative positions.
    pub use_rel_pos_bias: bool,
    /// Whether all blocks share one table, as while pre-training.
    #[serde(default)]
    pub use_shared_rel_pos_bias: bool,
    /// Whether the final norm stands behind the pooling; `None` for timm's choice, which is behind
    /// the mean and before anything else.
    #[serde(default)]
    pub use_fc_norm: Option<bool>,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl BeitConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = "a positive number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        check(self.depth > 0, "depth", positive, self.depth)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)?;
        let least = self.patch_size;
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let heads = self.num_heads > 0 && self.embed_dim % self.num_heads == 0;
        check(heads, "num_heads", format!("a divisor of {}", self.embed_dim), self.num_heads)?;
        let pooled = self.global_pool != GlobalPool::Map;
        check(pooled, "global_pool", "`avg` or `token`", self.global_pool)
    }

    /// Whether the final norm stands behind the pooling, as `fc_norm`.
    pub(super) fn norm_behind_pool(&self) -> bool {
        self.use_fc_norm.unwrap_or(self.global_pool == GlobalPool::Avg)
    }

    /// Rows and columns of patches that positions are stored for.
    pub(super) fn grid(&self) -> [i64; 2] {
        self.img_size.map(|side| side / self.patch_size)
    }

    /// What all blocks have in common.
    pub(super) fn shape(&self) -> PlainShape {
        PlainShape {
            depth: self.depth,
            dim: self.embed_dim,
            patch_size: self.patch_size,
            prefix: PREFIX,
        }
    }

    /// What is learned before the blocks.
    pub(super) fn tokens(&self) -> TokenEmbedConfig {
        TokenEmbedConfig {
            dim: self.embed_dim,
            grid: self.grid(),
            class_token: true,
            pos_embed: self.use_abs_pos_emb,
            prefix_positions: PREFIX,
            ..TokenEmbedConfig::default()
        }
    }
}
