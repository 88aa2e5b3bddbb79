//! Every architecture against timm, or Hugging Face, on weights that these drew, at the planned size
//! and at another.
//!
//! `timm/make.py` wrote the files with timm 1.0.31 and transformers 5.24.0; their headers hold our
//! configuration and the source. A new file there is a new case here. 1e-4 leaves room for the order
//! of sums.
use std::path::{Path, PathBuf};

use polyptych_backbones::{Backbone, BackboneConfig, Checkpoint, Options, computed};
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors};
use serde_json::Map;

const TOLERANCE: f64 = 1e-4;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timm");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

struct Case {
    name: String,
    config: BackboneConfig,
    file: TensorFile,
}

fn cases() -> Vec<Case> {
    let case = |path: PathBuf| {
        let file = file::load(&path).unwrap();
        let config = serde_json::from_str(&file.metadata["config"]).unwrap();
        Case { name: path.file_stem().unwrap().to_str().unwrap().into(), config, file }
    };
    files().into_iter().map(case).collect()
}

impl Case {
    fn weights(&self) -> Tensors {
        let named = self.file.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix("weights.")?.to_owned(), tensor.shallow_clone()))
        });
        named.collect()
    }

    /// Whether all that timm gives is there, and not what tells a source alone.
    fn is_whole(&self) -> bool {
        self.file.metadata["source"] == "timm" && !self.name.starts_with("authors_")
    }

    fn checkpoint(&self) -> Checkpoint {
        let file = TensorFile { tensors: self.weights(), metadata: Default::default() };
        Checkpoint::of(&self.name, file).unwrap()
    }

    fn compare(&self, what: &str, found: &Tensor) {
        let expected = &self.file.tensors[what];
        let name = format!("{}: {what}", self.name);
        assert_eq!(found.size(), expected.size(), "{name}");
        let difference = (found - expected).abs().max().double_value(&[]);
        let scale = expected.abs().max().double_value(&[]).max(1.0);
        println!("{name}: largest difference {difference:.1e} of {scale:.1e}");
        assert!(difference <= TOLERANCE * scale, "{name}: {difference} of {scale}");
    }
}

fn loaded(config: &BackboneConfig, weights: &Tensors) -> Box<dyn Backbone> {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    // Pre-training's, which no model reads.
    let allow_unused = &[&computed()[..], &["embeddings.mask_token"]].concat();
    let options = LoadOptions { allow_unused, ..LoadOptions::default() };
    store.load("timm", weights, &options).unwrap();
    backbone
}

#[test]
fn features_levels_and_logits_are_timms_at_two_sizes() {
    for case in cases() {
        let backbone = loaded(&case.config, &case.checkpoint().tensors);
        for size in ["native", "wide"] {
            // Some models of Hugging Face's run at their own size alone, or otherwise than timm's.
            let Some(image) = case.file.tensors.get(&format!("{size}.image")) else {
                assert!(!case.is_whole() && size == "wide", "{}", case.name);
                continue;
            };
            let out = backbone.forward_intermediates(image, false).unwrap();
            assert_eq!(out.levels.len(), backbone.feature_info().len());
            for (index, level) in out.levels.iter().enumerate() {
                let level = level.expect_shared().permute([0, 3, 1, 2]);
                let name = format!("{size}.level{index}");
                if case.file.tensors.contains_key(&name) || case.is_whole() {
                    case.compare(&name, &level);
                }
            }
            let features = out.features.expect_shared();
            if let Some(expected) = case.file.tensors.get(&format!("{size}.features")) {
                // timm has the channels of some pyramids first.
                let first = features.dim() == 4 && features.size() != expected.size();
                let features = if first { features.permute([0, 3, 1, 2]) } else { features.copy() };
                case.compare(&format!("{size}.features"), &features);
            }
            let logits = backbone.forward_head(&out.features, false).into_shared();
            case.compare(&format!("{size}.logits"), &logits);
        }
    }
}

#[test]
fn tensors_tell_what_they_are_of() {
    for case in cases() {
        let checkpoint = case.checkpoint();
        assert_eq!(checkpoint.source.name, case.file.metadata["source"], "{}", case.name);
        checkpoint.check(&case.config).unwrap();
        if case.config.ambiguity().is_some() {
            let message = checkpoint.deduce(&checkpoint.tensors).unwrap_err().to_string();
            assert!(message.contains("choose the backbone.name"), "{message}");
        }
        // No shape tells the number of heads, nor windows of Swin V2.
        let ours = case.config.to_value();
        let beside = [
            ("num_attention_heads", &ours["num_heads"]),
            ("num_heads", &ours["num_heads"]),
            ("masked_unit_size", &ours["mask_unit_size"]),
            ("masked_unit_attention", &ours["mask_unit_attn"]),
            ("image_size", &ours["img_size"][0]),
            ("window_size", &ours["window_size"]),
            ("pretrained_window_sizes", &ours["pretrained_window_sizes"]),
        ];
        let fields = beside.map(|(name, value)| (name.to_owned(), value.clone()));
        let fields = Map::from_iter(fields);
        let config = BackboneConfig::of_tensors(&checkpoint.tensors, &fields).unwrap();
        assert_eq!(config.name(), case.config.name());
        let backbone = loaded(&config, &checkpoint.tensors);
        if config.hidden_act() == case.config.hidden_act() {
            let image = &case.file.tensors["native.image"];
            let features = backbone.forward_features(image, false).unwrap();
            case.compare("native.logits", &backbone.forward_head(&features, false).into_shared());
        }
    }
}

#[test]
fn what_only_pre_training_reads_is_left_out_and_said_so() {
    let case = cases().into_iter().find(|case| case.name == "authors_mae").unwrap();
    let checkpoint = case.checkpoint();
    assert!(!checkpoint.tensors.keys().any(|name| name.contains("decoder")));
    assert_eq!(
        checkpoint.notes,
        ["left out, of no backbone: decoder_blocks (1), decoder_embed (1), decoder_pos_embed \
             (1), decoder_pred (1), mask_token (1)"]
    );
}
