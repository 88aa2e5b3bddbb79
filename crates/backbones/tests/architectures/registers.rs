//! ViTs with register tokens, and with positions of patches alone, against timm and Hugging Face.
//!
//! `registers/make.py` wrote the files with timm 1.0.31 and transformers 5.24.0.
use std::path::{Path, PathBuf};

use polyptych_backbones::{Backbone, BackboneConfig, Checkpoint, Options, VitConfig, sources};
use polyptych_formats::file;
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors, matches};
use serde_json::Map;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registers")
}

fn seen() -> Tensors {
    file::load(&folder().join("seen.safetensors")).unwrap().tensors
}

fn close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    println!("{what}: largest difference {difference:.1e}");
    assert!(difference <= 1e-4, "{what}: {difference}");
}

/// The backbone that the tensors of `name` say they are of.
fn deduced(name: &str, heads: i64) -> (Checkpoint, BackboneConfig, Box<dyn Backbone>) {
    let mut checkpoint = Checkpoint::open(&folder().join(name)).unwrap();
    checkpoint.tensors.retain(|name, _| !matches(&["embeddings.mask_token"], name));
    let fields = Map::from_iter([("num_attention_heads".to_owned(), heads.into())]);
    let config = BackboneConfig::of_tensors(&checkpoint.tensors, &fields).unwrap();
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    store.load(name, &checkpoint.tensors, &LoadOptions::default()).unwrap();
    (checkpoint, config, backbone)
}

#[test]
fn timms_registers_give_its_tokens_at_native_and_other_sizes() {
    let seen = seen();
    for name in ["dinov2", "gap", "embedded", "deit3"] {
        let (checkpoint, config, backbone) = deduced(&format!("timm_{name}.safetensors"), 2);
        assert_eq!(checkpoint.source, sources::TIMM);
        let tokens = |image: &str| backbone.forward_features(&seen[image], false).unwrap();
        let features = tokens("image");
        // timm's pooling of patches has its norm behind it.
        close(name, features.expect_shared(), &seen[&format!("timm_{name}")]);
        close(name, &tokens("wide").into_shared(), &seen[&format!("timm_{name}.wide")]);
        if config.num_classes() > 0 {
            let logits = backbone.forward_head(&features, false).into_shared();
            close(name, &logits, &seen[&format!("timm_{name}.logits")]);
        }
    }
}

#[test]
fn hugging_faces_registers_give_its_tokens() {
    let (checkpoint, config, backbone) = deduced("huggingface", 2);
    assert_eq!(checkpoint.source, sources::HUGGING_FACE_VIT);
    let vit: &VitConfig = config.downcast_ref().unwrap();
    assert_eq!((vit.reg_tokens, vit.no_embed_class), (4, true));
    let (seen, level) = (seen(), [2i64, 4, 4, 16]);
    let out = backbone.forward_intermediates(&seen["image"], false).unwrap();
    close("huggingface", out.features.expect_shared(), &seen["huggingface"]);
    assert!(out.levels.iter().all(|map| map.expect_shared().size() == level));
}
