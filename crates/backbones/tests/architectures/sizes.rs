//! Swins at sizes whose grids do not halve evenly, against timm's own code.
//!
//! `sizes/make.py` wrote what timm 1.0.31 plans and gives; values of weights follow from names.
use std::path::{Path, PathBuf};

use polyptych_backbones::{Backbone, BackboneConfig, Options, SwinConfig, WindowSize};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Case {
    img_size: [i64; 2],
    window_size: WindowSize,
    #[serde(default)]
    stages: Vec<Stage>,
}

#[derive(Deserialize, JsonSchema)]
struct Stage {
    rows: i64,
    window: [i64; 2],
    shift: [i64; 2],
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sizes")
}

fn planned() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(folder().join("windows.json")).unwrap()).unwrap()
}

fn swin(case: &Case) -> BackboneConfig {
    let config = SwinConfig {
        img_size: case.img_size,
        num_classes: 3,
        embed_dim: 4,
        depths: vec![2; 4],
        num_heads: vec![1, 2, 2, 4],
        window_size: case.window_size.clone(),
        mlp_ratio: 1.0,
        ..crate::common::swin()
    };
    config.into()
}

/// Row counts of a Swin's tables by timm's rule, written here once more: half of the positions,
/// rounded up, and windows no larger than that.
fn rows(case: &Case, stage: usize) -> i64 {
    let halved = |side: i64| (0..stage).fold((side + 3) / 4, |positions, _| (positions + 1) / 2);
    let window = |side: i64| halved(side).min(case.window_size.of(stage).unwrap());
    case.img_size.iter().map(|&side| 2 * window(side) - 1).product()
}

fn tensors(config: &BackboneConfig) -> (Store, Box<dyn Backbone>) {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    (store, backbone)
}

/// The formula of `make.py`.
fn values(name: &str, shape: &[i64]) -> Tensor {
    let step = 0.37 + 0.01 * name.len() as f64;
    let gain = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
    let count = shape.iter().product::<i64>();
    let flat: Vec<f32> =
        (1..=count).map(|at| (gain + 0.5 * (at as f64 * step).sin()) as f32).collect();
    Tensor::from_slice(&flat).view(shape)
}

#[test]
fn tables_have_the_sizes_of_timms() {
    for case in planned() {
        let (store, _) = tensors(&swin(&case));
        let stored: Tensors = store.tensors().into_iter().collect();
        for (index, stage) in case.stages.iter().enumerate() {
            let name = format!("layers.{index}.blocks.1.attn.relative_position_bias_table");
            let what = format!("{:?} {:?} {name}", case.img_size, case.window_size);
            assert_eq!(stored[&name].size()[0], stage.rows, "{what}");
            assert_eq!(rows(&case, index), stage.rows, "{what}");
            let area: i64 = stage.window.iter().map(|side| 2 * side - 1).product();
            assert_eq!(area, stage.rows, "{what}");
            let whole = |axis: usize| stage.window[axis] < case.window_size.of(index).unwrap();
            assert!((0..2).all(|axis| !whole(axis) || stage.shift[axis] == 0), "{what}");
        }
    }
}

#[test]
fn outputs_are_timms_at_sizes_that_do_not_halve() {
    let seen = file::load(&folder().join("outputs.safetensors")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&seen.metadata["cases"]).unwrap();
    assert!(cases.len() >= 9);
    for (index, case) in cases.iter().enumerate() {
        let (store, backbone) = tensors(&swin(case));
        let filled = store.tensors().into_iter();
        let filled = filled.map(|(name, t)| (name.clone(), values(&name, &t.size()))).collect();
        store.load("formula", &filled, &LoadOptions::default()).unwrap();
        let [height, width] = case.img_size;
        let image = values("image", &[1, 3, height, width]);
        let features = backbone.forward_features(&image, false).unwrap();
        let logits = backbone.forward_head(&features, false).into_shared();
        for (what, found) in [("features", features.into_shared()), ("logits", logits)] {
            let expected = &seen.tensors[&format!("{index}.{what}")];
            assert_eq!(found.size(), expected.size(), "{:?}", case.img_size);
            let difference = (found - expected).abs().max().double_value(&[]);
            assert!(difference <= 1e-4, "{:?} {what}: {difference}", case.img_size);
        }
    }
}

/// Swin V2's keys have no bias, so those of padding are zeros, whose norm has no gradient.
#[test]
fn gradients_of_padded_windows_are_finite() {
    // Maps of 14 x 16 for windows of 4.
    let config = BackboneConfig::from_name("swinv2_micro_window4_128").unwrap();
    let store = Store::new(Device::Cpu);
    let config = config.with_img_size([56, 64]);
    let backbone = config.init(&store.root(), &NoAdapter::Full, Options::default()).unwrap();
    let image = Tensor::ones([1, 3, 56, 64], (Kind::Float, Device::Cpu));
    let features = backbone.forward_features(&image, false).unwrap();
    features.into_shared().square().sum(Kind::Float).backward();
    for (name, tensor) in store.trainable() {
        let grad = tensor.grad();
        let finite = !grad.defined() || grad.isfinite().all().int64_value(&[]) == 1;
        assert!(finite, "{name}");
    }
}
