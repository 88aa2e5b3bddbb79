//! Swin: attention within windows that shift from block to block, on four resolutions.
//!
//! Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
//! arXiv 2103.14030, with timm's layout: patch merging opens a stage.

mod architecture;
mod attention;
mod block;
mod config;
mod design;
mod mask;
mod merging;
mod pad;
mod parameters;
mod prompts;
mod rolling;
mod rounding;
mod stage;
mod tables;
mod task_prompts;
mod v2;
mod variants;
mod window_size;
mod windows;

use polyptych_tensor::{Activations, LayerNorm, Plan, Pyramid, Scope, Tensor};

pub use config::SwinConfig;
pub use rounding::ROUNDED_UP;
pub use v2::SwinV2Config;
pub use window_size::WindowSize;

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::blocks::classifier::Classifier;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::PatchEmbed;
use crate::blocks::pooling::mean_of_map;
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::widen;
use crate::error::Result;
use config::NORM_EPS;
use design::Design;
use merging::PatchMerging;
use stage::Stage;

/// A Swin of either version; see [`SwinConfig::init`].
#[derive(Debug)]
pub struct Swin {
    patch_embed: PatchEmbed,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    head: Classifier,
    pyramid: Pyramid,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    neck: LevelNeck,
    feature_info: Vec<FeatureInfo>,
    num_features: i64,
}

impl Swin {
    fn new(
        config: &SwinConfig,
        design: Design,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let top_scope = LayerScope::top(scope, plan);
        let stages = config.depths.len();
        let stage = |index| Stage::new(&top_scope, config, design, index);
        let (patch_size, embed_dim) = (config.patch_size, config.embed_dim);
        let embed = scope.pp("patch_embed");
        let num_features = config.dim(stages - 1);
        let norm = || LayerNorm::new(&scope.pp("norm"), num_features, NORM_EPS);
        let top = !options.features_only;
        let num_classes = if top { config.num_classes } else { 0 };
        let pyramid = options.pyramid.unwrap_or_else(|| plan.pyramid());
        let stages = (0..stages).map(stage).collect::<Result<Vec<_>, _>>()?;
        let feature_info = feature_info(config, &stages, pyramid, top)?;
        Ok(Self {
            patch_embed: PatchEmbed::new(
                &embed,
                patch_size,
                [config.in_chans, embed_dim],
                Some(NORM_EPS),
            )?,
            stages,
            norm: top.then(norm).transpose()?,
            head: Classifier::new(&scope.pp("head").pp("fc"), num_features, num_classes)?,
            pyramid,
            passed_streams: PassedStreams::of(plan),
            grad_checkpointing: GradCheckpointing::of(options),
            neck: LevelNeck::of(plan, scope, &feature_info)?,
            feature_info,
            num_features,
        })
    }

    /// What leaves a stage as a level, and what goes on from there.
    fn leave(&self, stage: usize, x: Activations, train: bool) -> (Activations, Activations) {
        let next = self.stages.get(stage + 1).and_then(|next| next.downsample.as_ref());
        let merged = |merging, x: &Activations| {
            self.grad_checkpointing
                .run(merging, x, move |merging: &PatchMerging, x| merging.forward(x, train))
        };
        match (next, self.pyramid) {
            (None, _) => {
                let on = x.map(Tensor::shallow_clone);
                (x, on)
            }
            (Some(merging), Pyramid::AfterBlocks) => {
                let on = merged(merging, &self.passed_streams.of_level(&x));
                (x, on)
            }
            (Some(merging), Pyramid::AfterMerging) => {
                let level = merged(merging, &x);
                let on = self.passed_streams.of_level(&level);
                (level, on)
            }
        }
    }
}

impl SwinConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Swin> {
        self.validate()?;
        Ok(Swin::new(self, Design::V1, scope, plan, options)?)
    }
}

impl SwinV2Config {
    /// Builds the backbone with its parameters below `scope`. Norms start at 1, where timm starts
    /// those behind branches at 0: a trunk that is drawn and frozen then computes something.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Swin> {
        self.validate()?;
        let design = Design::V2 { pretrained_window_sizes: &self.pretrained_window_sizes };
        Ok(Swin::new(&self.plain(), design, scope, plan, options)?)
    }
}

impl Backbone for Swin {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let mut x = Activations::Shared(self.patch_embed.forward(image));
        let mut task_prompts = None;
        let mut levels = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let (level, left) =
                stage.forward_blocks((x, task_prompts), self.grad_checkpointing, train);
            let (level, on) = self.leave(index, level, train);
            levels.push(level);
            (x, task_prompts) = (on, left);
        }
        let features = match &self.norm {
            Some(norm) => x.map(|t| norm.forward(t)),
            None => x,
        };
        let levels = self.neck.forward(levels, train);
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        let pooled = mean_of_map(features);
        self.head.forward(pooled, pre_logits)
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.num_features
    }
}

fn feature_info(
    config: &SwinConfig,
    stages: &[Stage],
    pyramid: Pyramid,
    top: bool,
) -> polyptych_tensor::Result<Vec<FeatureInfo>> {
    let mut levels = config.feature_info(pyramid);
    for (index, (level, stage)) in levels.iter_mut().zip(stages).enumerate() {
        let next = match (index + 1 == stages.len(), pyramid) {
            (true, _) => top.then_some("the final norm"),
            (false, Pyramid::AfterMerging) => Some("the patch merging"),
            (false, Pyramid::AfterBlocks) => None,
        };
        widen(level, stage.beside(), next)?;
    }
    Ok(levels)
}
