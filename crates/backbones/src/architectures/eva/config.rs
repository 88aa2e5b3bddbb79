//! The configuration of an Eva, in timm's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architectures::vit::GlobalPool;
use crate::backbone::check;
use crate::blocks::plain_trunk::PlainShape;
use crate::blocks::token_embed::TokenEmbedConfig;
use crate::error::Result;

/// timm's choice for EVA-02.
pub(super) const NORM_EPS: f64 = 1e-6;

/// That of DINOv3.
pub(super) const DINO_NORM_EPS: f64 = 1e-5;

fn norm_eps() -> f64 {
    NORM_EPS
}

/// What rotary positions count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RopeType {
    /// Patches, in those of [`EvaConfig::ref_feat_shape`].
    #[default]
    Cat,
    /// Centres of patches, from -1 at one edge of the image to 1 at the other.
    Dinov3,
}

/// An Eva in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaConfig {
    /// Height and width that `pos_embed`, where there is one, is stored for; any other size runs.
    pub img_size: [i64; 2],
    /// Pixels along one side of a patch.
    pub patch_size: i64,
    /// Channels of an image: 3 for colour.
    #[serde(default = "crate::blocks::patch_embed::rgb")]
    pub in_chans: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// What the classifier reads; it has no attention pooling.
    pub global_pool: GlobalPool,
    /// Length of a token.
    pub embed_dim: i64,
    /// Blocks.
    pub depth: usize,
    /// Attention heads; each has a multiple of 4 channels.
    pub num_heads: i64,
    /// Whether query and value have a bias.
    pub qkv_bias: bool,
    /// Whether one matrix makes query, key and value.
    pub qkv_fused: bool,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Whether perceptrons are gated by SwiGLU.
    #[serde(default)]
    pub swiglu_mlp: bool,
    /// What the hidden units of a gated perceptron are rounded up to a multiple of, its gate apart;
    /// 0 for neither.
    #[serde(default)]
    pub swiglu_align_to: i64,
    /// Whether a norm stands before the second matrix of a gated perceptron, its gate apart.
    #[serde(default)]
    pub scale_mlp: bool,
    /// Whether a norm stands before `attn.proj`.
    #[serde(default)]
    pub scale_attn_inner: bool,
    /// Start of LayerScale; none without.
    pub init_values: Option<f64>,
    /// Whether a learned token stands before the patches.
    pub class_token: bool,
    /// More learned tokens between the class token and the patches, which no output reads.
    #[serde(default)]
    pub num_reg_tokens: i64,
    /// Whether positions are learned.
    pub use_abs_pos_emb: bool,
    /// Whether queries and keys are turned by their positions.
    pub use_rot_pos_emb: bool,
    /// What these positions count.
    #[serde(default)]
    pub rope_type: RopeType,
    /// Ratio of the highest to the lowest frequency.
    pub rope_temperature: f64,
    /// Whether the halves of a head are its pairs, and not neighbours.
    #[serde(default)]
    pub rope_rotate_half: bool,
    /// Rows and columns that positions are counted in; those of the image without.
    #[serde(default)]
    pub ref_feat_shape: Option<[i64; 2]>,
    /// Whether the final norm stands behind the pooling; `None` for timm's choice, which is behind
    /// the mean and before anything else.
    #[serde(default)]
    pub use_fc_norm: Option<bool>,
    /// Eps of all norms.
    #[serde(default = "norm_eps")]
    pub norm_eps: f64,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl EvaConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = "a positive number";
        let counts = "no negative number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
        check(self.in_chans > 0, "in_chans", positive, self.in_chans)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        check(self.depth > 0, "depth", positive, self.depth)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        check(self.norm_eps > 0.0, "norm_eps", positive, self.norm_eps)?;
        check(self.rope_temperature > 0.0, "rope_temperature", positive, self.rope_temperature)?;
        check(self.num_classes >= 0, "num_classes", counts, self.num_classes)?;
        check(self.num_reg_tokens >= 0, "num_reg_tokens", counts, self.num_reg_tokens)?;
        check(self.swiglu_align_to >= 0, "swiglu_align_to", counts, self.swiglu_align_to)?;
        let rate = self.drop_path_rate;
        let rates = 0.0..1.0;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)?;
        let least = self.patch_size;
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        self.validate_heads()
    }

    fn validate_heads(&self) -> Result<()> {
        let unit = if self.use_rot_pos_emb { 4 } else { 1 };
        let within = 0 < self.num_heads && self.num_heads <= self.embed_dim;
        let heads = within && self.embed_dim % (self.num_heads * unit) == 0;
        let expected = format!("a divisor of {} into multiples of {unit}", self.embed_dim);
        check(heads, "num_heads", expected, self.num_heads)?;
        let scaled = self.swiglu_mlp || !self.scale_mlp;
        check(scaled, "scale_mlp", "false without swiglu_mlp", self.scale_mlp)?;
        let shape = self.ref_feat_shape.is_none_or(|shape| shape.iter().all(|&side| side > 0));
        check(shape, "ref_feat_shape", "positive numbers", self.ref_feat_shape)?;
        let pooled = match self.global_pool {
            GlobalPool::Token => self.class_token,
            GlobalPool::Avg => true,
            GlobalPool::Map => false,
        };
        check(pooled, "global_pool", "`avg`, or `token` with a class token", self.global_pool)
    }

    /// Hidden units of a perceptron.
    pub(super) fn hidden(&self) -> i64 {
        let hidden = (self.embed_dim as f64 * self.mlp_ratio) as i64;
        match self.swiglu_mlp && self.swiglu_align_to > 0 {
            true => hidden + (-hidden).rem_euclid(self.swiglu_align_to),
            false => hidden,
        }
    }

    /// Whether one matrix makes the gate of a perceptron and what it gates.
    pub(super) fn is_packed(&self) -> bool {
        !self.scale_mlp && self.swiglu_align_to == 0
    }

    /// Whether the final norm stands behind the pooling, as `fc_norm`.
    pub(super) fn norm_behind_pool(&self) -> bool {
        self.use_fc_norm.unwrap_or(self.global_pool == GlobalPool::Avg)
    }

    /// Rows and columns of patches that `pos_embed` is stored for.
    pub(super) fn grid(&self) -> [i64; 2] {
        self.img_size.map(|side| side / self.patch_size)
    }

    /// Tokens before the patches.
    pub(super) fn prefix_tokens(&self) -> i64 {
        i64::from(self.class_token) + self.num_reg_tokens
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
            distilled: false,
            reg_tokens: self.num_reg_tokens,
            pos_embed: self.use_abs_pos_emb,
            prefix_positions: self.prefix_tokens(),
        }
    }
}
