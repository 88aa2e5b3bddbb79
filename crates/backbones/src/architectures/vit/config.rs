//! The configuration of a ViT, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::check;
use crate::blocks::act_layer::ActLayer;
use crate::blocks::plain_trunk::PlainShape;
use crate::blocks::token_embed::TokenEmbedConfig;
use crate::error::Result;

/// What the classifier reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPool {
    /// The class token, behind the final norm.
    Token,
    /// The mean of all patches; unless [`VitConfig::fc_norm`] says otherwise, the final norm moves
    /// behind it and is called `fc_norm`.
    Avg,
    /// What one trainable query finds among all tokens behind the final norm, as in SigLIP: timm's
    /// `attn_pool`.
    Map,
}

impl GlobalPool {
    /// timm's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            GlobalPool::Token => "token",
            GlobalPool::Avg => "avg",
            GlobalPool::Map => "map",
        }
    }
}

/// timm's choice for ViT.
pub(super) const NORM_EPS: f64 = 1e-6;

/// That of CLIP.
pub(super) const CLIP_NORM_EPS: f64 = 1e-5;

fn norm_eps() -> f64 {
    NORM_EPS
}

/// A ViT in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width that `pos_embed` is stored for; any other size runs, with the embedding
    /// resampled in every forward pass.
    pub img_size: [i64; 2],
    /// Pixels along one side of a patch.
    pub patch_size: i64,
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Length of a token.
    pub embed_dim: i64,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: i64,
    /// Hidden units of a block's perceptron per channel; of a gated one, gates count too.
    pub mlp_ratio: f64,
    /// Whether perceptrons are gated by SwiGLU, gates and what they gate from one matrix, as in
    /// DINOv2's giant: timm's `SwiGLUPacked`. `act_layer` says nothing then.
    #[serde(default)]
    pub swiglu_mlp: bool,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Start of LayerScale; none without.
    pub init_values: Option<f64>,
    /// Whether a learned token stands before the patches.
    pub class_token: bool,
    /// More learned tokens between the class token and the patches, which no output reads.
    #[serde(default)]
    pub reg_tokens: i64,
    /// Whether `pos_embed` has entries for patches alone, and none for class and register tokens.
    #[serde(default)]
    pub no_embed_class: bool,
    /// Whether a norm, `norm_pre`, stands before all blocks, as in CLIP; the patch embedding has no
    /// bias then.
    #[serde(default)]
    pub pre_norm: bool,
    /// Whether a distillation token stands behind the class token, with a classifier `head_dist` of
    /// its own; both classifiers are averaged, as in DeiT.
    #[serde(default)]
    pub distilled: bool,
    /// What the classifier reads.
    pub global_pool: GlobalPool,
    /// Whether the final norm stands behind the pooling; `None` for timm's choice, which is behind
    /// the mean and before anything else.
    #[serde(default)]
    pub fc_norm: Option<bool>,
    /// Eps of all norms.
    #[serde(default = "norm_eps")]
    pub norm_eps: f64,
    /// Between the two matrices of a perceptron.
    #[serde(default)]
    pub act_layer: ActLayer,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl VitConfig {
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
        check(self.reg_tokens >= 0, "reg_tokens", "no negative number", self.reg_tokens)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)?;
        let least = self.patch_size;
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let heads = self.num_heads > 0 && self.embed_dim % self.num_heads == 0;
        check(heads, "num_heads", format!("a divisor of {}", self.embed_dim), self.num_heads)?;
        check(self.norm_eps > 0.0, "norm_eps", positive, self.norm_eps)?;
        let halves = !self.swiglu_mlp || self.hidden() % 2 == 0;
        check(
            halves,
            "mlp_ratio",
            "an even number of hidden units with swiglu_mlp",
            self.hidden(),
        )?;
        let pooled = self.class_token || self.global_pool != GlobalPool::Token;
        check(pooled, "global_pool", "`avg` or `map` without a class token", self.global_pool)?;
        let token = self.global_pool == GlobalPool::Token;
        let distilled = token && self.class_token && self.reg_tokens == 0 && !self.no_embed_class;
        let expected = "false, unless a class token with a position is pooled and no registers are";
        check(distilled || !self.distilled, "distilled", expected, self.distilled)
    }

    /// Hidden units of a perceptron, gates among them.
    pub(super) fn hidden(&self) -> i64 {
        (self.embed_dim as f64 * self.mlp_ratio) as i64
    }

    /// Whether the final norm stands behind the pooling, as `fc_norm`.
    pub(super) fn norm_behind_pool(&self) -> bool {
        self.fc_norm.unwrap_or(self.global_pool == GlobalPool::Avg)
    }

    /// Rows and columns of patches that `pos_embed` is stored for.
    pub(super) fn grid(&self) -> [i64; 2] {
        self.img_size.map(|side| side / self.patch_size)
    }

    /// Tokens before the patches.
    pub(super) fn prefix_tokens(&self) -> i64 {
        i64::from(self.class_token) + i64::from(self.distilled) + self.reg_tokens
    }

    /// Entries of `pos_embed` before those of the patches.
    pub(super) fn prefix_positions(&self) -> i64 {
        if self.no_embed_class { 0 } else { self.prefix_tokens() }
    }

    /// What all blocks have in common.
    pub(super) fn shape(&self) -> PlainShape {
        PlainShape {
            depth: self.depth,
            dim: self.embed_dim,
            patch_size: self.patch_size,
            prefix: self.prefix_tokens(),
        }
    }

    /// What is learned before the blocks.
    pub(super) fn tokens(&self) -> TokenEmbedConfig {
        TokenEmbedConfig {
            dim: self.embed_dim,
            grid: self.grid(),
            class_token: self.class_token,
            distilled: self.distilled,
            reg_tokens: self.reg_tokens,
            pos_embed: true,
            prefix_positions: self.prefix_positions(),
        }
    }
}
