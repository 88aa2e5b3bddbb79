//! ViT: attention among all patches of an image, on one resolution.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929, as timm builds it.

mod architecture;
mod attention;
mod attn_pool;
mod block;
mod config;
mod layer_scale;
mod mlp;
mod parameters;
mod variants;

use polyptych_tensor::{Activations, LayerNorm, Plan, Scope, Tensor};

pub use config::{GlobalPool, VitConfig};

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::blocks::classifier::Classifier;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::PatchEmbed;
use crate::blocks::plain_trunk::PlainTrunk;
use crate::blocks::pooling::normed;
use crate::blocks::token_embed::TokenEmbed;
use crate::error::Result;
use attn_pool::AttentionPool;
use block::Block;

/// A ViT; see [`VitConfig::init`].
#[derive(Debug)]
pub struct Vit {
    patch_embed: PatchEmbed,
    token_embed: TokenEmbed,
    norm_pre: Option<LayerNorm>,
    trunk: PlainTrunk<Block>,
    norm: Option<LayerNorm>,
    attn_pool: Option<AttentionPool>,
    fc_norm: Option<LayerNorm>,
    head: Classifier,
    head_dist: Classifier,
    neck: LevelNeck,
    config: VitConfig,
}

impl Vit {
    fn new(
        config: &VitConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let top_scope = LayerScope::top(scope, plan);
        let (dim, top) = (config.embed_dim, !options.features_only);
        let norm = |wanted: bool, name: &str| {
            let norm = || LayerNorm::new(&scope.pp(name), dim, config.norm_eps);
            wanted.then(norm).transpose()
        };
        let pool = || AttentionPool::new(&scope.pp("attn_pool"), config);
        let behind = config.norm_behind_pool();
        let embed = scope.pp("patch_embed");
        let num_classes = if top { config.num_classes } else { 0 };
        let block = |scope: &LayerScope, index| Block::new(scope, config, index);
        let trunk = PlainTrunk::new(&top_scope, plan, options, config.shape(), block)?;
        Ok(Self {
            patch_embed: PatchEmbed::with_bias(
                &embed,
                config.patch_size,
                [config.in_chans, dim],
                None,
                !config.pre_norm,
            )?,
            token_embed: TokenEmbed::new(scope, config.tokens())?,
            norm_pre: norm(config.pre_norm, "norm_pre")?,
            norm: norm(top && !behind, "norm")?,
            attn_pool: (top && config.global_pool == GlobalPool::Map).then(pool).transpose()?,
            fc_norm: norm(top && behind, "fc_norm")?,
            head: Classifier::new(&scope.pp("head"), dim, num_classes)?,
            head_dist: Classifier::new(
                &scope.pp("head_dist"),
                dim,
                if config.distilled { num_classes } else { 0 },
            )?,
            neck: LevelNeck::of(plan, scope, trunk.feature_info())?,
            trunk,
            config: config.clone(),
        })
    }

    /// `[batch, tokens, dim]` to `[batch, dim]`.
    fn pool(&self, tokens: &Tensor) -> Tensor {
        let prefix = self.config.prefix_tokens();
        match (&self.attn_pool, self.config.global_pool) {
            (Some(pool), _) => pool.forward(tokens),
            (None, GlobalPool::Token) => tokens.select(1, 0),
            // Without its pool, which a model that reads levels alone lacks, the mean stands in.
            (None, GlobalPool::Avg | GlobalPool::Map) => {
                let patches = tokens.slice(1, prefix, None, 1);
                patches.mean_dim([1i64].as_slice(), false, tokens.kind())
            }
        }
    }

    /// The mean of what the class token and the distillation token give.
    fn forward_distilled(&self, features: &Activations, pre_logits: bool) -> Activations {
        let of = |head: &Classifier, index: i64| {
            let token = normed(self.fc_norm.as_ref(), features.map(|t| t.select(1, index)));
            head.forward(token, pre_logits)
        };
        of(&self.head, 0).add(&of(&self.head_dist, 1)).map(|sum| sum / 2.0)
    }
}

impl VitConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Vit> {
        self.validate()?;
        Ok(Vit::new(self, scope, plan, options)?)
    }
}

impl Vit {
    fn run(
        &self,
        image: &Tensor,
        train: bool,
        meet: &mut dyn FnMut(usize, Activations) -> Activations,
    ) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let patches = self.patch_embed.forward(image);
        let grid = [patches.size()[1], patches.size()[2]];
        let tokens = Activations::Shared(self.token_embed.forward(&patches));
        let x = normed(self.norm_pre.as_ref(), tokens);
        let forward = |_| move |block: &Block, x: &Activations| block.forward(x, train);
        let (x, levels) = self.trunk.forward_meeting(x, grid, train, meet, forward);
        let features = normed(self.norm.as_ref(), x);
        let levels = self.neck.forward(levels, train);
        Ok(Intermediates { features, levels })
    }
}

impl Backbone for Vit {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.run(image, train, &mut |_, x| x)
    }

    fn meeting_blocks(&self) -> usize {
        self.trunk.depth()
    }

    fn forward_meeting(
        &self,
        image: &Tensor,
        train: bool,
        meet: &mut dyn FnMut(usize, Activations) -> Activations,
    ) -> Result<Activations> {
        Ok(self.run(image, train, meet)?.features)
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        if self.config.distilled {
            return self.forward_distilled(features, pre_logits);
        }
        let pooled = normed(self.fc_norm.as_ref(), features.map(|t| self.pool(t)));
        self.head.forward(pooled, pre_logits)
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        self.trunk.feature_info()
    }

    fn num_features(&self) -> i64 {
        self.config.embed_dim
    }
}
