//! ViT: attention among all patches of an image, on one resolution.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929, as timm builds it.

mod architecture;
mod attention;
mod block;
mod config;
mod embed;
mod layer_scale;
mod parameters;
mod stages;
mod variants;

use std::rc::Rc;

use polyptych_tensor::{Activations, LayerNorm, Plan, Scope, Tensor};

pub use config::{GlobalPool, VitConfig};

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::blocks::classifier::Classifier;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::PatchEmbed;
use crate::blocks::prompts::PromptTokens;
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::{StageTap, widen};
use crate::error::Result;
use block::Block;
use config::NORM_EPS;
use embed::TokenEmbed;

/// A ViT; see [`VitConfig::init`].
#[derive(Debug)]
pub struct Vit {
    patch_embed: PatchEmbed,
    token_embed: TokenEmbed,
    blocks: Vec<Rc<Block>>,
    norm: Option<LayerNorm>,
    fc_norm: Option<LayerNorm>,
    head: Classifier,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    neck: LevelNeck,
    feature_info: Vec<FeatureInfo>,
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
        let norm = |pool: GlobalPool, name: &str| {
            let norm = || LayerNorm::new(&scope.pp(name), dim, NORM_EPS);
            (top && config.global_pool == pool).then(norm).transpose()
        };
        let embed = scope.pp("patch_embed");
        let block = |index| {
            Block::new(&block_scope(&top_scope, index, config.depth), config, index).map(Rc::new)
        };
        let num_classes = if top { config.num_classes } else { 0 };
        let blocks = (0..config.depth).map(block).collect::<Result<Vec<_>, _>>()?;
        let feature_info = feature_info(config, &blocks, top)?;
        Ok(Self {
            patch_embed: PatchEmbed::new(&embed, config.patch_size, [config.in_chans, dim], None)?,
            token_embed: TokenEmbed::new(scope, config)?,
            blocks,
            norm: norm(GlobalPool::Token, "norm")?,
            fc_norm: norm(GlobalPool::Avg, "fc_norm")?,
            head: Classifier::new(&scope.pp("head"), dim, num_classes)?,
            passed_streams: PassedStreams::of(plan),
            grad_checkpointing: GradCheckpointing::of(options),
            neck: LevelNeck::of(plan, scope, &feature_info)?,
            feature_info,
            config: config.clone(),
        })
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

impl Backbone for Vit {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let patches = self.patch_embed.forward(image);
        let grid = [patches.size()[1], patches.size()[2]];
        let mut x = Activations::Shared(self.token_embed.forward(&patches));
        let mut levels = Vec::new();
        let mut held = PromptTokens::none(self.config.prefix_tokens());
        let mut tap = StageTap::default();
        for (index, block) in self.blocks.iter().enumerate() {
            x = held.renew(x, block.prompts(), train);
            let output =
                self.grad_checkpointing.run(block, &x, move |block, x| block.forward(x, train));
            x = tap.join(output, block.beside());
            if stages::ends_with(index, self.config.depth) {
                x = std::mem::take(&mut tap).level(x);
                levels.push(x.map(|t| map_of(t, held.end(), grid)));
                // What stays behind leaves here; the last stage's streams are also the final features.
                if index + 1 < self.config.depth {
                    x = self.passed_streams.of_level(&x);
                }
            }
        }
        let features = apply(self.norm.as_ref(), held.without(x));
        let levels = self.neck.forward(levels, train);
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        let pooled = apply(self.fc_norm.as_ref(), features.map(|t| self.pool(t)));
        self.head.forward(pooled, pre_logits)
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.config.embed_dim
    }
}

/// `[batch, tokens, dim]` to the map of its patches, `[batch, rows, columns, dim]`; `before` of the
/// tokens are no patches.
fn map_of(tokens: &Tensor, before: i64, [rows, columns]: [i64; 2]) -> Tensor {
    tokens.narrow(1, before, rows * columns).unflatten(1, [rows, columns])
}

/// The scope of block `index` of `depth`.
fn block_scope<'a>(top: &LayerScope<'a>, index: usize, depth: usize) -> LayerScope<'a> {
    top.pp("blocks")
        .pp(index)
        .in_stage(stages::of_block(index, depth), stages::count(depth))
        .in_last_block(stages::ends_with(index, depth))
}

fn apply(norm: Option<&LayerNorm>, x: Activations) -> Activations {
    match norm {
        Some(norm) => x.map(|t| norm.forward(t)),
        None => x,
    }
}

fn feature_info(
    config: &VitConfig,
    blocks: &[Rc<Block>],
    top: bool,
) -> polyptych_tensor::Result<Vec<FeatureInfo>> {
    let mut levels = config.feature_info();
    for (stage, level) in levels.iter_mut().enumerate() {
        let within =
            |&(index, _): &(usize, &Rc<Block>)| stages::of_block(index, config.depth) == stage;
        let beside = blocks.iter().enumerate().filter(within).map(|(_, block)| block.beside());
        let last = stage + 1 == stages::count(config.depth);
        widen(level, beside, (top && last).then_some("the final norm"))?;
    }
    Ok(levels)
}
