//! A head and an architecture of a program's own: named in a recipe, trained, measured, stopped and
//! resumed like those that are built in.
use std::sync::Arc;

use crate::common::{Until, alone, recipe, refused, train};
use polyptych_backbones::{
    Architecture, Backbone, BackboneConfig, FeatureInfo, Intermediates, ModelArgs, Options, Summary,
};
use polyptych_engine::Trainer;
use polyptych_heads::{FeatureDims, Head, HeadBuilder, HeadConfig, HeadInput};
use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Conv2d, Kind, Plan, Projection, Scope, Site, SiteKind, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One convolution over the finest level.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FinestConfig {
    bias: bool,
}

impl Part for FinestConfig {
    const NAME: &'static str = "finest";
    const SUMMARY: &'static str = "dense, of the finest level alone";

    fn example() -> Self {
        Self { bias: true }
    }
}

impl HeadBuilder for FinestConfig {
    fn build(
        &self,
        scope: &Scope,
        dims: FeatureDims,
        outputs: i64,
    ) -> polyptych_heads::Result<Box<dyn Head>> {
        Ok(Box::new(Finest(Conv2d::new(scope, [dims.levels[0], outputs], [1, 1], self.bias)?)))
    }
}

#[derive(Debug)]
struct Finest(Conv2d);

impl Head for Finest {
    fn forward(&self, features: &HeadInput, _train: bool) -> polyptych_heads::Result<Tensor> {
        let map = self.0.pointwise(&features.levels[0]);
        Ok(map.permute([0, 3, 1, 2]).to_kind(Kind::Float))
    }
}

/// One linear map per level, and half the positions for the next.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PooledConfig {
    img_size: [i64; 2],
    dim: i64,
}

const LEVELS: usize = 4;
const PATCH: i64 = 4;

impl Part for PooledConfig {
    const NAME: &'static str = "pooled";
    const SUMMARY: &'static str = "linear maps on several resolutions";

    fn example() -> Self {
        Self { img_size: [32, 32], dim: 8 }
    }
}

impl Architecture for PooledConfig {
    fn variants(&self) -> Vec<(&'static str, Arc<dyn Architecture>)> {
        vec![("pooled_tiny", Arc::new(Self::example()))]
    }

    fn summary(&self) -> Summary {
        Summary { architecture: "Pooled", embed_dim: self.dim, depths: vec![1; LEVELS] }
    }

    fn image(&self) -> (i64, [i64; 2]) {
        (3, self.img_size)
    }

    fn num_classes(&self) -> i64 {
        0
    }

    /// It has nothing to drop, and no classifier.
    fn with(&self, args: ModelArgs) -> Arc<dyn Architecture> {
        Arc::new(Self { img_size: args.img_size.unwrap_or(self.img_size), ..*self })
    }

    fn init(
        &self,
        scope: &Scope,
        plan: &dyn Plan,
        _options: Options,
    ) -> polyptych_backbones::Result<Box<dyn Backbone>> {
        let stage = |stage: usize| {
            let path = format!("stages.{stage}.fc1");
            let site = Site {
                path: path.clone(),
                kind: SiteKind::Fc1,
                in_features: self.dim,
                out_features: self.dim,
                bias: true,
                stage,
                last_in_stage: true,
                last_stage: stage + 1 == LEVELS,
            };
            plan.projection(&scope.pp(path), &site)
        };
        let level = |stage| FeatureInfo {
            num_chs: self.dim,
            reduction: PATCH << stage,
            module: format!("stages.{stage}"),
        };
        Ok(Box::new(Pooled {
            embed: Conv2d::new(&scope.pp("patch_embed"), [3, self.dim], [PATCH; 2], true)?,
            stages: (0..LEVELS).map(stage).collect::<Result<_, _>>()?,
            feature_info: (0..LEVELS).map(level).collect(),
        }))
    }
}

#[derive(Debug)]
struct Pooled {
    embed: Conv2d,
    stages: Vec<Box<dyn Projection>>,
    feature_info: Vec<FeatureInfo>,
}

impl Backbone for Pooled {
    fn forward_intermediates(
        &self,
        x: &Tensor,
        train: bool,
    ) -> polyptych_backbones::Result<Intermediates> {
        let mut map = self.embed.forward(x);
        let mut levels = Vec::new();
        for stage in &self.stages {
            let x = Activations::Shared(map.permute([0, 2, 3, 1]));
            let level = stage.forward(&x, train).map(Tensor::relu);
            map = level.expect_shared().permute([0, 3, 1, 2]).avg_pool2d(
                [2, 2],
                [2, 2],
                [0, 0],
                true,
                true,
                None::<i64>,
            );
            levels.push(level);
        }
        Ok(Intermediates { features: Activations::Shared(map), levels })
    }

    fn forward_head(&self, features: &Activations, _pre_logits: bool) -> Activations {
        features.map(|t| t.mean_dim([2i64, 3].as_slice(), false, t.kind()))
    }

    fn feature_info(&self) -> &[FeatureInfo] {
        &self.feature_info
    }

    fn num_features(&self) -> i64 {
        self.feature_info[0].num_chs
    }
}

/// Registered for the whole process, in whichever test comes first.
fn register() {
    let _ = HeadConfig::register::<FinestConfig>();
    let _ = BackboneConfig::register::<PooledConfig>();
}

/// Trains whole and in two parts, to the same values.
fn trained_whole_and_in_parts(overrides: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, outcome) = train(recipe(overrides), &folder.path().join("whole"));
    assert!(outcome.finished);
    let path = folder.path().join("parts");
    let (mut first, _) = Trainer::start(recipe(overrides), None, &path).unwrap();
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    let mut second = Trainer::resume(&path).unwrap();
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    assert!(second.run(&mut observer).unwrap().finished);
    assert_eq!(observer.evaluations.len(), 1);
    let tensors = |trainer: &Trainer| trainer.model().store.tensors();
    assert_eq!(tensors(&whole).len(), tensors(&second).len());
    for ((name, a), (_, b)) in tensors(&whole).into_iter().zip(tensors(&second)) {
        assert!(a.equal(&b), "{name} differs");
    }
}

#[test]
fn a_head_of_ones_own_trains_and_resumes() {
    let _alone = alone();
    register();
    let head = "tasks.depth.head={name=\"finest\", bias=false}";
    assert!(recipe(&[head]).tasks["depth"].head.downcast_ref::<FinestConfig>().is_some());
    trained_whole_and_in_parts(&[head]);
}

#[test]
fn an_architecture_of_ones_own_trains_and_resumes() {
    let _alone = alone();
    register();
    let lora = "adapter={method=\"lora\", r=2, target_modules=[\"fc1\"]}";
    trained_whole_and_in_parts(&["backbone.name=\"pooled_tiny\"", lora]);
}

#[test]
fn an_unknown_name_is_answered_with_near_and_registered_ones() {
    let _alone = alone();
    register();
    let message = refused(&["tasks.depth.head={name=\"finesse\"}"]);
    let known = HeadConfig::names().join(", ");
    let expected = format!("expected one of {known}, found finesse: did you mean finest?");
    assert!(message.contains(&expected), "{message}");
    let message = refused(&["backbone.name=\"pooled_tyni\""]);
    assert!(message.contains("near ones are pooled_tiny"), "{message}");
    let known = BackboneConfig::names().join(", ");
    assert!(message.contains(&format!("(registered architectures: {known})")), "{message}");
}

#[test]
fn a_name_is_registered_once() {
    let _alone = alone();
    register();
    let message = HeadConfig::register::<FinestConfig>().unwrap_err().to_string();
    assert!(message.starts_with("head `finest`: expected a new name"), "{message}");
}
