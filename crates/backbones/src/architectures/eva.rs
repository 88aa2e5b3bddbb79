//! Eva: a ViT whose queries and keys are turned by their positions, with gated perceptrons in many
//! of its models; EVA-02 and the ViTs of DINOv3.
//!
//! Fang et al., "EVA-02: A Visual Representation for Neon Genesis", arXiv 2303.11331; Siméoni et
//! al., "DINOv3", arXiv 2508.10104; as timm builds both.

mod architecture;
mod attention;
mod block;
mod config;
mod mlp;
mod parameters;
mod rope;
mod variants;

use polyptych_tensor::{Activations, LayerNorm, Plan, Scope, Tensor};

pub use config::{EvaConfig, RopeType};

use super::vit::GlobalPool;
use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::blocks::classifier::Classifier;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::PatchEmbed;
use crate::blocks::plain_trunk::PlainTrunk;
use crate::blocks::pooling::normed;
use crate::blocks::token_embed::TokenEmbed;
use crate::error::Result;
use block::Block;
use rope::Rope;

/// An Eva; see [`EvaConfig::init`].
#[derive(Debug)]
pub struct Eva {
    patch_embed: PatchEmbed,
    token_embed: TokenEmbed,
    rope: Option<Rope>,
    trunk: PlainTrunk<Block>,
    norm: Option<LayerNorm>,
    fc_norm: Option<LayerNorm>,
    head: Classifier,
    neck: LevelNeck,
    config: EvaConfig,
}

impl EvaConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Eva> {
        self.validate()?;
        Ok(Eva::new(self, scope, plan, options)?)
    }
}

impl Eva {
    fn new(
        config: &EvaConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let top_scope = LayerScope::top(scope, plan);
        let (dim, top) = (config.embed_dim, !options.features_only);
        let norm = |wanted: bool, name: &str| {
            let norm = || LayerNorm::new(&scope.pp(name), dim, config.norm_eps);
            (top && wanted).then(norm).transpose()
        };
        let block = |scope: &LayerScope, index| Block::new(scope, config, index);
        let trunk = PlainTrunk::new(&top_scope, plan, options, config.shape(), block)?;
        let (embed, behind) = (scope.pp("patch_embed"), config.norm_behind_pool());
        let num_classes = if top { config.num_classes } else { 0 };
        Ok(Self {
            patch_embed: PatchEmbed::new(&embed, config.patch_size, [config.in_chans, dim], None)?,
            token_embed: TokenEmbed::new(scope, config.tokens())?,
            rope: Rope::of(config),
            norm: norm(!behind, "norm")?,
            fc_norm: norm(behind, "fc_norm")?,
            head: Classifier::new(&scope.pp("head"), dim, num_classes)?,
            neck: LevelNeck::of(plan, scope, trunk.feature_info())?,
            trunk,
            config: config.clone(),
        })
    }

    /// `[batch, tokens, dim]` to `[batch, dim]`.
    fn pool(&self, tokens: &Tensor) -> Tensor {
        match self.config.global_pool {
            GlobalPool::Token => tokens.select(1, 0),
            _ => {
                let patches = tokens.slice(1, self.config.prefix_tokens(), None, 1);
                patches.mean_dim([1i64].as_slice(), false, tokens.kind())
            }
        }
    }
}

impl Backbone for Eva {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let patches = self.patch_embed.forward(image);
        let grid = [patches.size()[1], patches.size()[2]];
        let turn = self.rope.as_ref().map(|rope| rope.turn(grid, patches.device()));
        let x = Activations::Shared(self.token_embed.forward(&patches));
        let forward = |before| {
            let turn = turn.as_ref().map(|turn| turn.behind(before));
            move |block: &Block, x: &Activations| block.forward(x, turn.as_ref(), train)
        };
        let (x, levels) = self.trunk.forward(x, grid, train, forward);
        let features = normed(self.norm.as_ref(), x);
        let levels = self.neck.forward(levels, train);
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
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
