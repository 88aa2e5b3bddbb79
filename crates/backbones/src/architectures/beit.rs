//! BEiT: a ViT that adds learned biases of relative positions to its attention; versions 1 and 2.
//!
//! Bao et al., "BEiT: BERT Pre-Training of Image Transformers", arXiv 2106.08254; Peng et al.,
//! "BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers", arXiv 2208.06366; as
//! timm builds both.

mod architecture;
mod attention;
mod block;
mod config;
mod parameters;
mod relative_bias;
mod variants;

use polyptych_tensor::{Activations, LayerNorm, Plan, Scope, Tensor};

pub use config::BeitConfig;

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
use relative_bias::{Positions, RelativeBias};

/// A BEiT; see [`BeitConfig::init`].
#[derive(Debug)]
pub struct Beit {
    patch_embed: PatchEmbed,
    token_embed: TokenEmbed,
    /// The bias that all blocks share.
    rel_pos_bias: Option<RelativeBias>,
    positions: Positions,
    trunk: PlainTrunk<Block>,
    norm: Option<LayerNorm>,
    fc_norm: Option<LayerNorm>,
    head: Classifier,
    neck: LevelNeck,
    config: BeitConfig,
}

impl BeitConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Beit> {
        self.validate()?;
        Ok(Beit::new(self, scope, plan, options)?)
    }
}

impl Beit {
    fn new(
        config: &BeitConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let top_scope = LayerScope::top(scope, plan);
        let (dim, top) = (config.embed_dim, !options.features_only);
        let norm = |wanted: bool, name: &str| {
            let norm = || LayerNorm::new(&scope.pp(name), dim, config::NORM_EPS);
            (top && wanted).then(norm).transpose()
        };
        let block = |scope: &LayerScope, index| Block::new(scope, config, index);
        let trunk = PlainTrunk::new(&top_scope, plan, options, config.shape(), block)?;
        let (embed, behind) = (scope.pp("patch_embed"), config.norm_behind_pool());
        let num_classes = if top { config.num_classes } else { 0 };
        let shared = || RelativeBias::new(&scope.pp("rel_pos_bias"), config);
        Ok(Self {
            patch_embed: PatchEmbed::new(&embed, config.patch_size, [config.in_chans, dim], None)?,
            token_embed: TokenEmbed::new(scope, config.tokens())?,
            rel_pos_bias: config.use_shared_rel_pos_bias.then(shared).transpose()?,
            positions: Positions::default(),
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
            _ => tokens.slice(1, 1, None, 1).mean_dim([1i64].as_slice(), false, tokens.kind()),
        }
    }
}

impl Backbone for Beit {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let patches = self.patch_embed.forward(image);
        let grid = [patches.size()[1], patches.size()[2]];
        let index = self.positions.index(grid, patches.device());
        let shared = self.rel_pos_bias.as_ref().map(|bias| bias.of_grid(grid, &index));
        let x = Activations::Shared(self.token_embed.forward(&patches));
        let forward = |before| {
            let (index, prompts) = (index.shallow_clone(), before - 1);
            let shared = shared.as_ref().map(Tensor::shallow_clone);
            move |block: &Block, x: &Activations| {
                let bias = block.bias(grid, &index, shared.as_ref());
                let bias = bias.map(|bias| relative_bias::around_prompts(&bias, prompts));
                block.forward(x, bias.as_ref(), train)
            }
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
