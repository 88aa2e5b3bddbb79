//! Backbones against their peers on fixed weights and inputs.
//!
//! The files in `oracles/` hold weights, inputs and what timm 1.0.31 or TorchVision 0.26.0 computed
//! of them in float32 on the CPU with seeded draws; their headers name peer and configuration.
//! 1e-4 leaves room for the order of sums; a wrong formula shows at 1e-2.

use std::path::Path;

use polyptych_backbones::{
    Backbone, BackboneConfig, GlobalPool, Options, SwinConfig, VitConfig, resample, sources,
};
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors};

const TOLERANCE: f64 = 1e-4;

fn oracle(name: &str) -> TensorFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles");
    file::load(&folder.join(format!("{name}.safetensors"))).unwrap()
}

fn weights(file: &TensorFile) -> Tensors {
    let named = file.tensors.iter().filter_map(|(name, tensor)| {
        Some((name.strip_prefix("weights.")?.to_owned(), tensor.shallow_clone()))
    });
    named.collect()
}

fn loaded(config: &BackboneConfig, weights: &Tensors) -> Box<dyn Backbone> {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    store.load("oracle", weights, &LoadOptions::default()).unwrap();
    backbone
}

fn compare(name: &str, found: &Tensor, file: &TensorFile) {
    let expected = &file.tensors[&format!("output.{name}")];
    assert_eq!(found.size(), expected.size(), "{name}");
    let difference = (found - expected).abs().max().double_value(&[]);
    println!("{name}: largest difference {difference:.1e}");
    assert!(difference <= TOLERANCE, "{name}: {difference}");
}

fn swin(img_size: [i64; 2], window_size: i64, stages: usize) -> BackboneConfig {
    let config = SwinConfig {
        img_size,
        embed_dim: 24,
        depths: vec![2; stages],
        num_heads: (0..stages).map(|stage| 2 << stage).collect(),
        window_size: window_size.into(),
        mlp_ratio: 4.0,
        drop_path_rate: 0.1,
        ..crate::common::swin()
    };
    config.into()
}

fn vit(depth: usize) -> VitConfig {
    let (img_size, patch_size, embed_dim) = ([32, 32], 8, 48);
    VitConfig { img_size, patch_size, embed_dim, depth, mlp_ratio: 4.0, ..crate::common::vit() }
}

fn compare_swin(name: &str, config: &BackboneConfig) {
    let file = oracle(name);
    let backbone = loaded(config, &weights(&file));
    let out = backbone.forward_intermediates(&file.tensors["input.x"], false).unwrap();
    compare("features", out.features.expect_shared(), &file);
    compare("logits", &backbone.forward_head(&out.features, false).into_shared(), &file);
    assert_eq!(out.levels.len(), backbone.feature_info().len());
    for (index, level) in out.levels.iter().enumerate() {
        assert!(level.per_task().is_none());
        compare(&format!("stage{index}"), &level.expect_shared().permute([0, 3, 1, 2]), &file);
    }
}

fn compare_vit(name: &str, config: VitConfig) {
    let file = oracle(name);
    let backbone = loaded(&config.into(), &weights(&file));
    let out = backbone.forward_intermediates(&file.tensors["input.x"], false).unwrap();
    compare("tokens", out.features.expect_shared(), &file);
    compare("logits", &backbone.forward_head(&out.features, false).into_shared(), &file);
    assert_eq!(out.levels.len(), 3);
    for (index, level) in out.levels.iter().enumerate() {
        compare(&format!("block{index}"), &level.expect_shared().flatten(1, 2), &file);
    }
}

fn compare_logits(config: &BackboneConfig, file: &TensorFile, weights: &Tensors) {
    let backbone = loaded(config, weights);
    let features = backbone.forward_features(&file.tensors["input.x"], false).unwrap();
    compare("logits", &backbone.forward_head(&features, false).into_shared(), file);
}

#[test]
fn swin_with_windows_of_7_equals_timm() {
    compare_swin("timm_swin_w7", &swin([56, 56], 7, 2));
}

#[test]
fn swin_with_windows_of_4_equals_timm() {
    compare_swin("timm_swin_w4", &swin([64, 64], 4, 3));
}

#[test]
fn swin_on_an_oblong_image_equals_timm() {
    compare_swin("timm_swin_rect", &swin([56, 112], 7, 2));
}

#[test]
fn vit_with_a_class_token_equals_timm() {
    compare_vit("timm_vit_cls", vit(3));
}

#[test]
fn vit_with_average_pooling_equals_timm() {
    let pooled = VitConfig { class_token: false, global_pool: GlobalPool::Avg, ..vit(3) };
    compare_vit("timm_vit_gap", pooled);
}

#[test]
fn vit_with_layer_scale_equals_timm() {
    compare_vit("timm_vit_layerscale", VitConfig { init_values: Some(0.1), ..vit(3) });
}

#[test]
fn resampled_positions_equal_timms() {
    let file = oracle("timm_vit_pos_embed_resample");
    let old = &file.tensors["weights.pos_embed"];
    compare("pos_embed", &resample::pos_embed(old, [6, 5], 1).unwrap(), &file);
}

#[test]
fn renamed_torchvision_swin_equals_torchvision() {
    let file = oracle("torchvision_swin");
    let weights = sources::TORCHVISION_SWIN.rename(weights(&file)).unwrap();
    compare_logits(&swin([56, 56], 7, 2), &file, &weights);
}

#[test]
fn renamed_torchvision_vit_equals_torchvision() {
    let file = oracle("torchvision_vit");
    let weights = sources::TORCHVISION_VIT.rename(weights(&file)).unwrap();
    let config = VitConfig { mlp_ratio: 2.0, ..vit(2) };
    compare_logits(&config.into(), &file, &weights);
}
