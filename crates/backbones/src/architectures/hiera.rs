//! Hiera: a ViT whose map shrinks from stage to stage by pooling alone, with attention within small
//! units first and among all positions later.
//!
//! Ryali et al., "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles",
//! arXiv 2306.00989, as timm builds it. Images are padded with zeros to whole units, and levels are
//! cut to what the image covers.

mod architecture;
mod attention;
mod block;
mod config;
mod parameters;
mod positions;
mod stage;
mod variants;

use polyptych_tensor::{Activations, Conv2d, LayerNorm, ParameterKind, Plan, Scope, Tensor};

pub use config::HieraConfig;

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
use config::{KERNEL, NORM_EPS, STRIDE};
use positions::Positions;
use stage::Stage;

/// A Hiera; see [`HieraConfig::init`].
#[derive(Debug)]
pub struct Hiera {
    patch_embed: Conv2d,
    positions: Positions,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    head: Classifier,
    passed_streams: PassedStreams,
    grad_checkpointing: GradCheckpointing,
    neck: LevelNeck,
    feature_info: Vec<FeatureInfo>,
    config: HieraConfig,
}

impl HieraConfig {
    /// Builds the backbone with its parameters below `scope`. It has no place for prompts, and what
    /// widens the stream between stages belongs to the trunk alone.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Hiera> {
        self.validate()?;
        Ok(Hiera::new(self, scope, plan, options)?)
    }
}

impl Hiera {
    fn new(
        config: &HieraConfig,
        scope: &Scope,
        plan: &dyn Plan,
        options: Options,
    ) -> polyptych_tensor::Result<Self> {
        let (layers, top) = (LayerScope::top(scope, plan), !options.features_only);
        let stages = (0..config.stages.len()).map(|index| Stage::new(&layers, config, index));
        let stages = stages.collect::<Result<Vec<_>, _>>()?;
        let mut feature_info = config.feature_info();
        for (level, stage) in feature_info.iter_mut().zip(&stages) {
            widen(level, stage.beside(), None)?;
        }
        let embed = scope.pp("patch_embed").pp("proj").of_kind(ParameterKind::PatchEmbed);
        let (head, features) = (scope.pp("head"), config.num_features());
        let norm = || LayerNorm::new(&head.pp("norm"), features, NORM_EPS);
        let num_classes = if top { config.num_classes } else { 0 };
        let chans = [config.in_chans, config.embed_dim];
        Ok(Self {
            patch_embed: Conv2d::new(&embed, chans, [KERNEL, STRIDE], true)?
                .with_padding(KERNEL / 2),
            positions: Positions::new(scope, config)?,
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

    /// `[batch, in_chans, height, width]`, padded to whole units, to
    /// `[batch, height / 4, width / 4, embed_dim]`.
    fn embed(&self, image: &Tensor) -> Tensor {
        let size = image.size();
        let missing = |axis: usize| (-size[axis]).rem_euclid(self.config.unit_pixels());
        let padded = image.constant_pad_nd([0, missing(3), 0, missing(2)]);
        let map = self.patch_embed.forward(&padded).permute([0, 2, 3, 1]);
        self.positions.add_to(&map)
    }
}

impl Backbone for Hiera {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        check_image(self.config.in_chans, image)?;
        let sides = [image.size()[2], image.size()[3]];
        let mut x = Activations::Shared(self.embed(image));
        let mut levels = Vec::with_capacity(self.stages.len());
        for (stage, info) in self.stages.iter().zip(&self.feature_info) {
            let level = stage.forward(&x, self.grad_checkpointing, train);
            x = self.passed_streams.of_level(&level);
            let covered = sides.map(|side| (side + info.reduction - 1) / info.reduction);
            levels.push(level.map(|t| cut(t, covered)));
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

/// The first rows and columns of `[batch, height, width, dim]`.
fn cut(map: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    match map.size()[1..3] == [rows, columns] {
        true => map.shallow_clone(),
        false => map.narrow(1, 0, rows).narrow(2, 0, columns).contiguous(),
    }
}
