//! Parameter counts of every named variant against timm's, 1000 classes each.
//!
//! Drawing hundreds of millions of weights takes minutes, so a plan stands in that makes timm's
//! layers from zeros; two small variants show that it makes the same parameters. Every variant is
//! built with one block per stage, which counts as often as the depth says, and some whole.

#![allow(clippy::unwrap_used)]

use polyptych_backbones::{BackboneConfig, Options, SwinConfig, VitConfig};
use polyptych_tensor::{
    Device, Init, Linear, NoAdapter, Plain, Plan, Projection, Result, Scope, Site, Store,
};

/// timm's counts, DINOv2 without a classifier; the two micro variants are ours.
const COUNTS: [(&str, i64); 39] = [
    ("swin_micro_patch4_window4_128", 3_329_750),
    ("swin_tiny_patch4_window7_224", 28_288_354),
    ("swin_small_patch4_window7_224", 49_606_258),
    ("swin_base_patch4_window7_224", 87_768_224),
    ("swin_base_patch4_window12_384", 87_903_584),
    ("swin_large_patch4_window7_224", 196_532_476),
    ("swin_large_patch4_window12_384", 196_735_516),
    ("swin_s3_tiny_224", 28_328_674),
    ("swin_s3_small_224", 49_737_298),
    ("swin_s3_base_224", 71_125_762),
    ("vit_micro_patch8_128", 2_088_840),
    ("vit_tiny_patch16_224", 5_717_416),
    ("vit_tiny_patch16_384", 5_790_376),
    ("vit_small_patch8_224", 22_055_272),
    ("vit_small_patch16_224", 22_050_664),
    ("vit_small_patch16_384", 22_196_584),
    ("vit_small_patch32_224", 22_878_952),
    ("vit_small_patch32_384", 22_915_432),
    ("vit_small_patch14_dinov2", 22_056_192),
    ("vit_base_patch8_224", 86_576_872),
    ("vit_base_patch16_224", 86_567_656),
    ("vit_base_patch16_384", 86_859_496),
    ("vit_base_patch32_224", 88_224_232),
    ("vit_base_patch32_384", 88_297_192),
    ("vit_base_patch14_dinov2", 86_579_712),
    ("vit_large_patch14_224", 304_203_752),
    ("vit_large_patch16_224", 304_326_632),
    ("vit_large_patch16_384", 304_715_752),
    ("vit_large_patch32_224", 306_535_400),
    ("vit_large_patch32_384", 306_632_680),
    ("vit_large_patch14_dinov2", 304_367_616),
    ("vit_small_patch14_reg4_dinov2", 22_057_344),
    ("vit_base_patch14_reg4_dinov2", 86_582_016),
    ("vit_large_patch14_reg4_dinov2", 304_370_688),
    ("vit_little_patch16_reg4_gap_256", 22_516_008),
    ("vit_medium_patch16_reg4_gap_256", 38_881_768),
    ("vit_mediumd_patch16_reg4_gap_256", 64_109_032),
    ("vit_betwixt_patch16_reg4_gap_256", 60_398_440),
    ("vit_base_patch16_reg4_gap_256", 86_615_272),
];

/// One variant of each size but large.
const WHOLE: [&str; 8] = [
    "swin_micro_patch4_window4_128",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "vit_micro_patch8_128",
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
];

/// timm's layers, all zero.
#[derive(Debug)]
struct Zeros;

impl Plan for Zeros {
    fn projection(&self, scope: &Scope, site: &Site) -> Result<Box<dyn Projection>> {
        let shape = [site.out_features, site.in_features];
        let weight = scope.param("weight", &shape, Init::ZEROS)?;
        let bias = || scope.param("bias", &shape[..1], Init::ZEROS);
        Ok(Box::new(Plain(Linear { weight, bias: site.bias.then(bias).transpose()? })))
    }
}

/// Shape of every parameter by name.
fn shapes(config: &BackboneConfig, plan: &dyn Plan) -> Vec<(String, Vec<i64>)> {
    let store = Store::new(Device::Cpu);
    config.init(&store.root(), plan, Options::default()).unwrap();
    store.tensors().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
}

fn count(config: &BackboneConfig, times: impl Fn(&str) -> i64) -> i64 {
    let shapes = shapes(config, &Zeros);
    shapes.iter().map(|(name, shape)| times(name) * shape.iter().product::<i64>()).sum()
}

/// The configuration with one block per stage, and how often the parameter `name` of that stands
/// in the whole.
fn thin(config: &BackboneConfig) -> (BackboneConfig, impl Fn(&str) -> i64 + use<>) {
    let depths = config.summary().depths;
    let thin: BackboneConfig = match config.downcast_ref::<SwinConfig>() {
        Some(swin) => SwinConfig { depths: vec![1; depths.len()], ..swin.clone() }.into(),
        None => {
            VitConfig { depth: 1, ..config.downcast_ref::<VitConfig>().unwrap().clone() }.into()
        }
    };
    let times = move |name: &str| {
        if !name.contains("blocks.0.") {
            return 1;
        }
        let stage = name.strip_prefix("layers.").map_or(0, |rest| rest[..1].parse().unwrap());
        depths[stage] as i64
    };
    (thin, times)
}

#[test]
fn every_variant_is_listed() {
    let mut listed: Vec<&str> = COUNTS.iter().map(|(name, _)| *name).collect();
    let mut known = BackboneConfig::variant_names();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn variants_built_whole_have_timms_count() {
    for (name, expected) in COUNTS.iter().filter(|(name, _)| WHOLE.contains(name)) {
        let config = BackboneConfig::from_name(name).unwrap();
        assert_eq!(count(&config, |_| 1), *expected, "{name}");
    }
}

#[test]
fn every_variant_has_timms_count_when_alike_blocks_are_built_once() {
    for (name, expected) in COUNTS {
        let (thin, times) = thin(&BackboneConfig::from_name(name).unwrap());
        assert_eq!(count(&thin, times), expected, "{name}");
    }
}

#[test]
fn zeros_stand_where_timms_layers_do() {
    for name in ["swin_micro_patch4_window4_128", "vit_tiny_patch16_224"] {
        let config = BackboneConfig::from_name(name).unwrap();
        assert_eq!(shapes(&config, &Zeros), shapes(&config, &NoAdapter::Full));
    }
}
