//! ViT: attention among all patches of an image, on one resolution.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929, as timm builds it.

mod attention;
mod block;
mod embed;
mod layer_scale;
mod stages;
mod variants;

use polyptych_tensor::{Activations, LayerNorm, Linear, Plan, Scope, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options, check, check_image};
use crate::patch_embed::PatchEmbed;
use crate::place::Place;
use crate::{Error, Result};
use block::Block;
use embed::TokenEmbed;

/// timm's choice for ViT.
const NORM_EPS: f64 = 1e-6;

/// What the classifier reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPool {
    /// The class token, behind the final norm.
    Token,
    /// The mean of all patches; the final norm moves behind it and is called `fc_norm`.
    Avg,
}

/// A ViT in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width that `pos_embed` is stored for; any other size runs, with the embedding
    /// resampled in every forward pass.
    pub img_size: [i64; 2],
    /// Pixels along one side of a patch.
    pub patch_size: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Length of a token.
    pub embed_dim: i64,
    /// Blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: i64,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Start of LayerScale; none without.
    pub init_values: Option<f64>,
    /// Whether a learned token stands before the patches.
    pub class_token: bool,
    /// What the classifier reads.
    pub global_pool: GlobalPool,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl VitConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Vit> {
        self.validate()?;
        let place = Place::top(scope, plan);
        let norm = |pool: GlobalPool, name: &str| {
            let layer = || LayerNorm::new(&scope.pp(name), self.embed_dim, NORM_EPS);
            (!options.features_only && self.global_pool == pool).then(layer).transpose()
        };
        let embed = scope.pp("patch_embed");
        Ok(Vit {
            patch_embed: PatchEmbed::new(&embed, self.patch_size, self.embed_dim, None)?,
            token_embed: TokenEmbed::new(scope, self)?,
            blocks: (0..self.depth).map(|i| self.block(&place, i)).collect::<Result<_>>()?,
            norm: norm(GlobalPool::Token, "norm")?,
            fc_norm: norm(GlobalPool::Avg, "fc_norm")?,
            head: self.head(scope, options)?,
            feature_info: self.feature_info(),
            config: self.clone(),
        })
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = "a positive number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
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
        let pooled = self.class_token || self.global_pool == GlobalPool::Avg;
        check(pooled, "global_pool", "`avg` without a class token", self.global_pool)
    }

    /// Rows and columns of patches that `pos_embed` is stored for.
    pub(crate) fn grid(&self) -> [i64; 2] {
        self.img_size.map(|side| side / self.patch_size)
    }

    /// Tokens before the patches.
    fn prefix_tokens(&self) -> i64 {
        i64::from(self.class_token)
    }

    fn block(&self, place: &Place, index: usize) -> Result<Block> {
        let (stage, count) = (stages::of_block(index, self.depth), stages::count(self.depth));
        let place = place.pp("blocks").pp(index).in_stage(stage, count);
        let place = place.in_last_block(stages::ends_with(index, self.depth));
        Ok(Block::new(&place, self, index)?)
    }

    fn head(&self, scope: &Scope, options: Options) -> Result<Option<Linear>> {
        let scope = scope.pp("head");
        let head =
            || Linear::new(&scope, self.embed_dim, self.num_classes, true).map_err(Error::from);
        (!options.features_only && self.num_classes > 0).then(head).transpose()
    }

    fn feature_info(&self) -> Vec<FeatureInfo> {
        let ends = (0..self.depth).filter(|&index| stages::ends_with(index, self.depth));
        let level = |index| FeatureInfo {
            num_chs: self.embed_dim,
            reduction: self.patch_size,
            module: format!("blocks.{index}"),
        };
        ends.map(level).collect()
    }
}

/// A ViT; see [`VitConfig::init`].
#[derive(Debug)]
pub struct Vit {
    patch_embed: PatchEmbed,
    token_embed: TokenEmbed,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
    fc_norm: Option<LayerNorm>,
    head: Option<Linear>,
    feature_info: Vec<FeatureInfo>,
    config: VitConfig,
}

impl Vit {
    /// `[batch, tokens, dim]` to the map of its patches, `[batch, rows, columns, dim]`.
    fn map_of(&self, tokens: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
        let patches = tokens.narrow(1, self.config.prefix_tokens(), rows * columns);
        patches.reshape([-1, rows, columns, self.config.embed_dim])
    }

    /// `[batch, tokens, dim]` to `[batch, dim]`.
    fn pool(&self, tokens: &Tensor) -> Tensor {
        let prefix = self.config.prefix_tokens();
        match self.config.global_pool {
            GlobalPool::Token => tokens.select(1, 0),
            GlobalPool::Avg => {
                let patches = tokens.slice(1, prefix, None, 1);
                patches.mean_dim([1i64].as_slice(), false, tokens.kind())
            }
        }
    }
}

impl Backbone for Vit {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        check_image(image)?;
        let patches = self.patch_embed.forward(image);
        let grid = [patches.size()[1], patches.size()[2]];
        let mut x = Activations::shared(self.token_embed.forward(&patches));
        let mut levels = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, train);
            if stages::ends_with(index, self.config.depth) {
                levels.push(x.map(|t| self.map_of(t, grid)));
                // Task streams leave here; the last stage's are also the final features.
                if index + 1 < self.config.depth {
                    x = x.without_tasks();
                }
            }
        }
        let features = apply(self.norm.as_ref(), x);
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        let pooled = apply(self.fc_norm.as_ref(), features.map(|t| self.pool(t)));
        match &self.head {
            Some(head) if !pre_logits => pooled.map(|t| head.forward(t)),
            _ => pooled,
        }
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.config.embed_dim
    }
}

fn apply(norm: Option<&LayerNorm>, x: Activations) -> Activations {
    match norm {
        Some(norm) => x.map(|t| norm.forward(t)),
        None => x,
    }
}
