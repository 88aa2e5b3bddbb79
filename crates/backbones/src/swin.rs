//! Swin: attention within windows that shift from block to block, on four resolutions.
//!
//! Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
//! arXiv 2103.14030, with timm's layout: patch merging opens a stage.

mod attention;
mod block;
mod merging;
mod pad;
mod stage;
mod variants;
mod windows;

use polyptych_tensor::{Activations, LayerNorm, Linear, Plan, Pyramid, Scope, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, FeatureInfo, Intermediates, Options, check, check_image};
use crate::patch_embed::PatchEmbed;
use crate::place::Place;
use crate::{Error, Result};
use stage::Stage;
use windows::Windows;

/// PyTorch's default, which Swin keeps.
const NORM_EPS: f64 = 1e-5;

/// A Swin in timm's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwinConfig {
    /// Height and width that windows are planned for; any other size runs, padded.
    ///
    /// Windows are no larger than the stage's map at this size, and nothing is shifted on an
    /// axis that one window covers.
    pub img_size: [i64; 2],
    /// Pixels per position of the first stage.
    pub patch_size: i64,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: i64,
    /// Channels of the first stage; each further stage has twice as many.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Attention heads per stage.
    pub num_heads: Vec<i64>,
    /// Positions along one side of a window.
    pub window_size: i64,
    /// Hidden units of a block's perceptron per channel.
    pub mlp_ratio: f64,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Stochastic depth of the last block; earlier ones rise to it linearly from 0.
    pub drop_path_rate: f64,
}

impl SwinConfig {
    /// Builds the backbone with its parameters below `scope`.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    pub fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Swin> {
        self.validate()?;
        let place = Place::top(scope, plan);
        let stages = 0..self.depths.len();
        let embed = scope.pp("patch_embed");
        Ok(Swin {
            patch_embed: PatchEmbed::new(&embed, self.patch_size, self.embed_dim, Some(NORM_EPS))?,
            stages: stages.map(|i| Stage::new(&place, self, i)).collect::<Result<_, _>>()?,
            norm: self.norm(scope, options)?,
            head: self.head(scope, options)?,
            pyramid: plan.pyramid(),
            feature_info: self.feature_info(plan.pyramid()),
            num_features: self.dim(self.depths.len() - 1),
        })
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let stages = self.depths.len();
        let positive = "a positive number";
        check(self.patch_size > 0, "patch_size", positive, self.patch_size)?;
        check(self.embed_dim > 0, "embed_dim", positive, self.embed_dim)?;
        check(self.window_size > 0, "window_size", positive, self.window_size)?;
        check(self.mlp_ratio > 0.0, "mlp_ratio", positive, self.mlp_ratio)?;
        check(self.num_classes >= 0, "num_classes", "no negative number", self.num_classes)?;
        let rates = 0.0..1.0;
        let rate = self.drop_path_rate;
        check(rates.contains(&rate), "drop_path_rate", "a rate of at least 0 and below 1", rate)?;
        let depths = (1..16).contains(&stages) && !self.depths.contains(&0);
        check(depths, "depths", "1 to 15 stages of at least one block", &self.depths)?;
        let least = self.patch_size << (stages - 1);
        let sized = self.img_size.iter().all(|&side| side >= least);
        check(sized, "img_size", format!("sides of at least {least}"), self.img_size)?;
        let divide = |(stage, &heads): (usize, &i64)| heads > 0 && self.dim(stage) % heads == 0;
        let heads = self.num_heads.len() == stages && self.num_heads.iter().enumerate().all(divide);
        let expected = format!("{stages} numbers that divide embed_dim times 1, 2, 4, ..");
        check(heads, "num_heads", expected, &self.num_heads)
    }

    /// Channels of stage `stage`.
    fn dim(&self, stage: usize) -> i64 {
        self.embed_dim << stage
    }

    /// Extent of a window in stage `stage`, `[rows, columns]`.
    pub(crate) fn window(&self, stage: usize) -> [i64; 2] {
        self.windows(stage, false).size
    }

    fn windows(&self, stage: usize, shifted: bool) -> Windows {
        let resolution = self.img_size.map(|side| (side / self.patch_size) >> stage);
        Windows::new(resolution, self.window_size, shifted)
    }

    fn norm(&self, scope: &Scope, options: Options) -> Result<Option<LayerNorm>> {
        let dim = self.dim(self.depths.len() - 1);
        let norm = || LayerNorm::new(&scope.pp("norm"), dim, NORM_EPS).map_err(Error::from);
        (!options.features_only).then(norm).transpose()
    }

    fn head(&self, scope: &Scope, options: Options) -> Result<Option<Linear>> {
        let dim = self.dim(self.depths.len() - 1);
        let scope = scope.pp("head").pp("fc");
        let head = || Linear::new(&scope, dim, self.num_classes, true).map_err(Error::from);
        (!options.features_only && self.num_classes > 0).then(head).transpose()
    }

    fn feature_info(&self, pyramid: Pyramid) -> Vec<FeatureInfo> {
        let stages = self.depths.len();
        let level = |stage: usize| {
            let merged = pyramid == Pyramid::AfterMerging && stage + 1 < stages;
            let (at, below) = if merged { (stage + 1, ".downsample") } else { (stage, "") };
            FeatureInfo {
                num_chs: self.dim(at),
                reduction: self.patch_size << at,
                module: format!("layers.{at}{below}"),
            }
        };
        (0..stages).map(level).collect()
    }
}

/// A Swin; see [`SwinConfig::init`].
#[derive(Debug)]
pub struct Swin {
    patch_embed: PatchEmbed,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    head: Option<Linear>,
    pyramid: Pyramid,
    feature_info: Vec<FeatureInfo>,
    num_features: i64,
}

impl Swin {
    /// What leaves a stage as a level, and what goes on from there.
    fn leave(&self, stage: usize, x: Activations, train: bool) -> (Activations, Activations) {
        let next = self.stages.get(stage + 1).and_then(|next| next.downsample.as_ref());
        match (next, self.pyramid) {
            (None, _) => {
                let on = x.map(Tensor::shallow_clone);
                (x, on)
            }
            (Some(merging), Pyramid::AfterBlocks) => {
                let on = merging.forward(&x.without_tasks(), train);
                (x, on)
            }
            (Some(merging), Pyramid::AfterMerging) => {
                let merged = merging.forward(&x, train);
                let on = merged.without_tasks();
                (merged, on)
            }
        }
    }
}

impl Backbone for Swin {
    fn forward_intermediates(&self, image: &Tensor, train: bool) -> Result<Intermediates> {
        check_image(image)?;
        let mut x = Activations::shared(self.patch_embed.forward(image));
        let mut levels = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            let (level, on) = self.leave(index, stage.forward_blocks(&x, train), train);
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
