//! ConvNeXt: depthwise convolutions and perceptrons on four resolutions, without attention.
//!
//! Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545, as timm builds it; DINOv3 distils into
//! it (arXiv 2508.10104).

mod architecture;
mod block;
mod config;
mod parameters;
mod stage;
mod variants;

use polyptych_tensor::{Activations, LayerNorm, ParameterKind, Plan, Scope, Tensor};

pub use config::ConvNextConfig;

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options};
use crate::blocks::classifier::Classifier;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::check_image;
use crate::blocks::pooling::{mean_of_map, normed};
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::widen;
use crate::error::Result;
use config::NORM_EPS;
use stage::{PatchConv, Stage};

/// A ConvNeXt; see [`ConvNextConfig::init`].
#[derive(Debug)]
pub struct ConvNext {
    stem: PatchConv,
    stem_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    head: Classifier,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    neck: LevelNeck,
    feature_info: Vec<FeatureInfo>,
    config: ConvNextConfig,
}

impl ConvNextConfig {
    /// Builds the backbone with its parameters below `scope`. It has no attention, and no place for
    /// prompts.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<ConvNext> {
        self.validate()?;
        Ok(ConvNext::new(self, scope, plan, options)?)
    }
}

impl ConvNext {
    fn new(
        config: &ConvNextConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let (layers, top) = (LayerScope::top(scope, plan), !options.features_only);
        let stages = (0..config.depths.len()).map(|index| Stage::new(&layers, config, index));
        let stages = stages.collect::<Result<Vec<_>, _>>()?;
        let mut feature_info = config.feature_info();
        for (level, stage) in feature_info.iter_mut().zip(&stages) {
            widen(level, stage.beside(), None)?;
        }
        let stem = scope.pp("stem").of_kind(ParameterKind::PatchEmbed);
        let head = scope.pp("head");
        let features = config.num_features();
        let norm = || LayerNorm::new(&head.pp("norm"), features, NORM_EPS);
        let num_classes = if top { config.num_classes } else { 0 };
        let chans = [config.in_chans, config.dims[0]];
        Ok(Self {
            stem: PatchConv::new(&stem.pp(0), chans, config.patch_size)?,
            stem_norm: LayerNorm::new(&stem.pp(1), config.dims[0], NORM_EPS)?,
            stages,
            norm: top.then(norm).transpose()?,
            head: Classifier::new(&head.pp("fc"), features, num_classes)?,
            passed_streams: PassedStreams::of(plan),
            grad_checkpointing: GradCheckpointing::of(options),
            neck: LevelNeck::of(plan, scope, &feature_info)?,
            feature_info,
            config: config.clone(),
        })
    }
}

impl Backbone for ConvNext {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        check_image(self.config.in_chans, image)?;
        let map = self.stem.forward(&image.permute([0, 2, 3, 1]));
        let mut x = Activations::Shared(self.stem_norm.forward(&map));
        let mut levels = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let level = stage.forward(&x, self.grad_checkpointing, train);
            x = self.passed_streams.of_level(&level);
            levels.push(level);
        }
        let features = levels.last().map_or(x, Activations::shallow_clone);
        let levels = self.neck.forward(levels, train);
        Ok(Intermediates { features, levels })
    }

    fn forward_head(&self, features: &Activations, pre_logits: bool) -> Activations {
        let pooled = normed(self.norm.as_ref(), mean_of_map(features));
        self.head.forward(pooled, pre_logits)
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.config.num_features()
    }
}
