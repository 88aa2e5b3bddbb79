//! PVT v2: attention among all positions with keys and values of a coarser map, on four resolutions,
//! and a depthwise convolution within each perceptron.
//!
//! Wang et al., "PVT v2: Improved Baselines with Pyramid Vision Transformer", arXiv 2106.13797, as
//! timm builds it. What leaves a stage as a level is behind the stage's norm.

mod architecture;
mod attention;
mod block;
mod config;
mod embed;
mod mlp;
mod parameters;
mod stage;
mod variants;

use polyptych_tensor::{Activations, ParameterKind, Plan, Scope, Tensor};

pub use config::PvtV2Config;

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options, check};
use crate::blocks::classifier::Classifier;
use crate::blocks::grad_checkpointing::GradCheckpointing;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::neck::LevelNeck;
use crate::blocks::patch_embed::check_image;
use crate::blocks::pooling::mean_of_map;
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::widen;
use crate::error::Result;
use embed::OverlapPatchEmbed;
use stage::Stage;

/// A PVT v2; see [`PvtV2Config::init`].
#[derive(Debug)]
pub struct PvtV2 {
    patch_embed: OverlapPatchEmbed,
    stages: Vec<Stage>,
    head: Classifier,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    neck: LevelNeck,
    feature_info: Vec<FeatureInfo>,
    config: PvtV2Config,
}

impl PvtV2Config {
    /// Builds the backbone with its parameters below `scope`. It has no place for prompts, and no
    /// gate between the first matrix of a perceptron and what follows it.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<PvtV2> {
        self.validate()?;
        Ok(PvtV2::new(self, scope, plan, options)?)
    }
}

impl PvtV2 {
    fn new(
        config: &PvtV2Config,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let top = LayerScope::top(scope, plan);
        let stages = (0..config.depths.len()).map(|index| Stage::new(&top, config, index));
        let stages = stages.collect::<Result<Vec<_>, _>>()?;
        let num_classes = if options.features_only { 0 } else { config.num_classes };
        let chans = [config.in_chans, config.embed_dims[0]];
        let embed = scope.pp("patch_embed").of_kind(ParameterKind::PatchEmbed);
        let mut feature_info = config.feature_info();
        for (level, stage) in feature_info.iter_mut().zip(&stages) {
            widen(level, stage.beside(), Some("the norm of the stage"))?;
        }
        Ok(Self {
            patch_embed: OverlapPatchEmbed::new(&embed, chans, [7, 4])?,
            stages,
            head: Classifier::new(&scope.pp("head"), config.num_features(), num_classes)?,
            passed_streams: PassedStreams::of(plan),
            grad_checkpointing: GradCheckpointing::of(options),
            neck: LevelNeck::of(plan, scope, &feature_info)?,
            feature_info,
            config: config.clone(),
        })
    }
}

impl Backbone for PvtV2 {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        check_image(self.config.in_chans, image)?;
        let (sides, least) = ([image.size()[2], image.size()[3]], self.config.least_side());
        let large = sides.iter().all(|&side| side >= least);
        check(large, "image", format!("sides of at least {least}"), sides)?;
        let map = self.patch_embed.forward(&image.permute([0, 2, 3, 1]));
        let mut x = Activations::Shared(map);
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
        let pooled = mean_of_map(features);
        self.head.forward(pooled, pre_logits)
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.config.num_features()
    }
}
