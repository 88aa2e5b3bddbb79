//! Parameter counts of every named variant against timm's, with timm's number of classes.
//!
//! Drawing hundreds of millions of weights takes minutes, so a plan stands in that makes timm's
//! layers from zeros; two small variants show that it makes the same parameters. Every variant is
//! built with one block per stage, which counts as often as the depth says, and some whole.

use std::collections::BTreeMap;

use polyptych_backbones::{BackboneConfig, Options};
use polyptych_tensor::{
    Device, Init, Linear, NoAdapter, Plain, Plan, Projection, Result, Scope, Site, Store,
};

/// timm's counts by name, which `param_counts/make.py` wrote.
fn counts() -> BTreeMap<String, i64> {
    serde_json::from_str(include_str!("../param_counts/timm.json")).unwrap()
}

/// One variant of each size but large.
const WHOLE: [&str; 19] = [
    "swin_micro_patch4_window4_128",
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "vit_micro_patch8_128",
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
    "vit_base_patch16_siglip_224",
    "deit_tiny_distilled_patch16_224",
    "swinv2_tiny_window8_256",
    "pvt_v2_b0",
    "pvt_v2_b2_li",
    "vit_small_patch16_dinov3",
    "eva02_tiny_patch14_336",
    "convnext_tiny",
    "beit_base_patch16_224",
    "hiera_tiny_224",
    "hiera_small_abswin_256",
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
    let mut json = serde_json::to_value(config).unwrap();
    let numbered_through = json.get("stages").is_some();
    if numbered_through {
        // The first block of a stage differs from those behind it.
        json["stages"] = depths.iter().map(|&depth| depth.min(2)).collect::<Vec<_>>().into();
    } else if json.get("depths").is_some() {
        json["depths"] = vec![1; depths.len()].into();
    } else {
        json["depth"] = 1.into();
    }
    let times = move |name: &str| {
        if numbered_through {
            let block = name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
            return block.map_or(1, |block| times_through(&depths, block.parse().unwrap()));
        }
        if !name.contains("blocks.0.") {
            return 1;
        }
        let staged = ["layers.", "stages."].iter().find_map(|start| name.strip_prefix(start));
        let stage: usize = staged.map_or(0, |rest| rest[..1].parse().unwrap());
        depths[stage] as i64
    };
    (serde_json::from_value(json).unwrap(), times)
}

/// How often block `index` stands in the whole, where stages of two blocks or fewer are numbered
/// through.
fn times_through(depths: &[usize], mut index: usize) -> i64 {
    for &depth in depths {
        let kept = depth.min(2);
        if index < kept {
            return if index == 0 { 1 } else { depth as i64 - 1 };
        }
        index -= kept;
    }
    1
}

#[test]
fn every_variant_is_listed() {
    let mut known = BackboneConfig::variant_names();
    known.sort_unstable();
    assert_eq!(counts().into_keys().collect::<Vec<_>>(), known);
}

#[test]
fn variants_built_whole_have_timms_count() {
    let counts = counts();
    for name in WHOLE {
        let config = BackboneConfig::from_name(name).unwrap();
        assert_eq!(count(&config, |_| 1), counts[name], "{name}");
    }
}

#[test]
fn every_variant_has_timms_count_when_alike_blocks_are_built_once() {
    for (name, expected) in counts() {
        let (thin, times) = thin(&BackboneConfig::from_name(&name).unwrap());
        assert_eq!(count(&thin, times), expected, "{name}");
    }
}

#[test]
fn zeros_stand_where_timms_layers_do() {
    for name in [
        "swin_micro_patch4_window4_128",
        "vit_tiny_patch16_224",
        "swinv2_micro_window4_128",
        "pvt_v2_micro_128",
        "convnext_micro_128",
        "vit_micro_patch8_dinov3_128",
        "beit_micro_patch8_128",
        "hiera_micro_128",
    ] {
        let config = BackboneConfig::from_name(name).unwrap();
        assert_eq!(shapes(&config, &Zeros), shapes(&config, &NoAdapter::Full));
    }
}
