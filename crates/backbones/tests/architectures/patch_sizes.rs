//! Weights in a ViT of other patches, against timm's own loader.
//!
//! `patch_sizes/make.py` wrote the file with timm 1.0.31 and torch 2.11.0.
use std::path::Path;

use polyptych_backbones::{BackboneConfig, Options, VitConfig};
use polyptych_formats::file;
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors};

/// FlexiViT's form, tiny, with patches of 4.
fn flexivit() -> BackboneConfig {
    let config = VitConfig { img_size: [24; 2], no_embed_class: true, ..crate::common::vit() };
    VitConfig { embed_dim: 8, num_heads: 2, ..config }.into()
}

fn seen() -> Tensors {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patch_sizes");
    file::load(&folder.join("timm.safetensors")).unwrap().tensors
}

fn logits(config: &BackboneConfig, image: &Tensor, seen: &Tensors) -> Tensor {
    let weights: Tensors = seen
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix("weights.")?.into(), t.shallow_clone())))
        .collect();
    let store = Store::new(Device::Cpu);
    let vit = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    let resample = |name: &str, tensor: &_, wanted: &[i64]| config.resample(name, tensor, wanted);
    let options = LoadOptions { resample: Some(&resample), ..LoadOptions::default() };
    let report = store.load("timm", &weights, &options).unwrap();
    assert_eq!(report.resampled.len(), 2, "{report}");
    let features = vit.forward_features(image, false).unwrap();
    vit.forward_head(&features, false).into_shared()
}

#[test]
fn kernels_and_positions_are_resampled_as_timm_does() {
    let seen = seen();
    for patch_size in [2, 3, 6, 8] {
        let config = flexivit().with_patch_size(patch_size).unwrap();
        let found = logits(&config, &seen["image"], &seen);
        let expected = &seen[&format!("logits.{patch_size}")];
        assert!(found.allclose(expected, 1e-4, 1e-4, false), "{patch_size}: {found} {expected}");
    }
}

#[test]
fn stages_fix_the_size_of_patches() {
    for (name, architecture) in
        [("swin_micro_patch4_window4_128", "swin"), ("pvt_v2_micro_128", "pvt_v2")]
    {
        let refused = BackboneConfig::from_name(name).unwrap().with_patch_size(8).unwrap_err();
        let expected = format!(
            "patch_size: expected none, or an architecture of one resolution, such as vit, found \
             8 for {architecture}"
        );
        assert_eq!(refused.to_string(), expected);
    }
}
