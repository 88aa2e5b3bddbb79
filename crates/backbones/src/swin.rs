//! Swin: attention within windows that shift from block to block, on four resolutions.
//!
//! Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
//! arXiv 2103.14030, with timm's layout: patch merging opens a stage.

mod attention;
mod block;
mod config;
mod merging;
mod pad;
mod prompts;
mod rounding;
mod stage;
mod tables;
mod variants;
mod window_size;
mod windows;

use polyptych_tensor::{Activations, LayerNorm, Linear, Plan, Pyramid, Scope, Tensor};

pub use config::SwinConfig;
pub use rounding::ROUNDED_UP;
pub use window_size::WindowSize;

use crate::Result;
use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::keep::Keep;
use crate::onward::Onward;
use crate::patch_embed::PatchEmbed;
use crate::place::Place;
use crate::tap::widen;
use merging::PatchMerging;
use stage::Stage;

/// PyTorch's default, which Swin keeps.
pub(crate) const NORM_EPS: f64 = 1e-5;

/// A Swin; see [`SwinConfig::init`].
#[derive(Debug)]
pub struct Swin {
    patch_embed: PatchEmbed,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    head: Option<Linear>,
    pyramid: Pyramid,
    onward: Onward,
    keep: Keep,
    feature_info: Vec<FeatureInfo>,
    num_features: i64,
}

impl Swin {
    fn new(
        config: &SwinConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let place = Place::top(scope, plan);
        let stages = config.depths.len();
        let stage = |index| Stage::new(&place, config, index);
        let (patch_size, embed_dim) = (config.patch_size, config.embed_dim);
        let embed = scope.pp("patch_embed");
        let num_features = config.dim(stages - 1);
        let norm = || LayerNorm::new(&scope.pp("norm"), num_features, NORM_EPS);
        let fc = scope.pp("head").pp("fc");
        let head = || Linear::new(&fc, num_features, config.num_classes, true);
        let top = !options.features_only;
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
            head: (top && config.num_classes > 0).then(head).transpose()?,
            pyramid,
            onward: Onward::of(plan),
            keep: Keep::of(options),
            feature_info,
            num_features,
        })
    }

    /// What leaves a stage as a level, and what goes on from there.
    fn leave(&self, stage: usize, x: Activations, train: bool) -> (Activations, Activations) {
        let next = self.stages.get(stage + 1).and_then(|next| next.downsample.as_ref());
        let merged = |merging, x: &Activations| {
            self.keep
                .through(merging, x, move |merging: &PatchMerging, x| merging.forward(x, train))
        };
        match (next, self.pyramid) {
            (None, _) => {
                let on = x.map(Tensor::shallow_clone);
                (x, on)
            }
            (Some(merging), Pyramid::AfterBlocks) => {
                let on = merged(merging, &self.onward.of_level(&x));
                (x, on)
            }
            (Some(merging), Pyramid::AfterMerging) => {
                let level = merged(merging, &x);
                let on = self.onward.of_level(&level);
                (level, on)
            }
        }
    }
}

impl Backbone for Swin {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        self.patch_embed.check(image)?;
        let mut x = Activations::shared(self.patch_embed.forward(image));
        let mut levels = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let (level, on) = self.leave(index, stage.forward_blocks(x, self.keep, train), train);
            levels.push(level);
            x = on;
        }
        let features = match &self.norm {
            Some(norm) => x.map(|t| norm.forward(t)),
            None => x,
        };
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        let pooled = features.map(|t| t.mean_dim([1i64, 2].as_slice(), false, t.kind()));
        match &self.head {
            Some(head) if !pre_logits => pooled.map(|t| head.forward(t)),
            _ => pooled,
        }
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
        let onward = match (index + 1 == stages.len(), pyramid) {
            (true, _) => top.then_some("the final norm"),
            (false, Pyramid::AfterMerging) => Some("the patch merging"),
            (false, Pyramid::AfterBlocks) => None,
        };
        widen(level, stage.beside(), onward)?;
    }
    Ok(levels)
}
