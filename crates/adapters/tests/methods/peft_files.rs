//! Adapter folders as PEFT writes them, merged into the weights that they were trained beside.
//!
//! `crates/backbones/tests/peers/make.py` wrote them, and what the adapted models give.
use crate::support::alone;
use std::path::{Path, PathBuf};

use polyptych_adapters::{PeftAdapter, load_peft};
use polyptych_backbones::{Backbone, Checkpoint, GlobalPool, Options, VitConfig, sources};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors};

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backbones/tests/peers")
}

fn base(name: &str) -> Tensors {
    Checkpoint::open(&peers().join(name)).unwrap().tensors
}

fn logits(weights: &Tensors) -> Tensor {
    let config = VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        num_classes: 5,
        embed_dim: 24,
        depth: 2,
        num_heads: 3,
        mlp_ratio: 2.0,
        class_token: true,
        global_pool: GlobalPool::Token,
        ..VitConfig::micro()
    };
    let store = Store::new(Device::Cpu);
    let vit = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    store.load("merged", weights, &LoadOptions::default()).unwrap();
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    vit.forward_head(&vit.forward_features(&seen["small"], false).unwrap(), false).into_shared()
}

fn same_logits(name: &str, base: &Tensors, adapter: &PeftAdapter) {
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    let difference = |found: &Tensor| (found - &seen[name]).abs().max().double_value(&[]);
    assert!(difference(&logits(base)) > 0.05, "{name} shows no adaptation");
    let found = difference(&logits(&adapter.merge(base).unwrap()));
    println!("{name}: largest difference {found:.1e}");
    assert!(found <= 1e-4, "{name}: {found}");
}

#[test]
fn adapters_on_timms_names_fold() {
    let _alone = alone();
    let base = base("timm_vit.safetensors");
    for name in ["peft_timm_lora", "peft_timm_dora"] {
        same_logits(name, &base, &load_peft(&peers().join(name)).unwrap());
    }
}

#[test]
fn adapters_on_hugging_faces_names_fold() {
    let _alone = alone();
    let name = "peft_huggingface_lora";
    let adapter = load_peft(&peers().join(name))
        .unwrap()
        .renamed(sources::HUGGING_FACE_VIT.rename_one().unwrap());
    assert!(adapter.tensors.contains_key("blocks.1.attn.qkv.v.lora_B.weight"));
    same_logits(name, &base("huggingface_vit"), &adapter);
}

#[test]
fn factors_that_fit_no_weight_are_named() {
    let _alone = alone();
    let base = base("timm_vit.safetensors");
    let mut adapter = load_peft(&peers().join("peft_timm_lora")).unwrap();
    let refused = |adapter: &PeftAdapter| adapter.merge(&base).unwrap_err().to_string();
    let path = "blocks.0.attn.qkv";
    let b = adapter.tensors.remove(&format!("{path}.lora_B.weight")).unwrap();
    let message =
        "blocks.0.attn.qkv: expected factors [r, 24] and [72, r], found Some([2, 24]) and";
    assert_eq!(refused(&adapter), format!("{message} None"));
    adapter.tensors.insert(format!("{path}.lora_B.weight"), b.transpose(0, 1));
    assert_eq!(refused(&adapter), format!("{message} Some([2, 72])"));
    let elsewhere = load_peft(&peers().join("peft_huggingface_lora")).unwrap();
    assert_eq!(
        refused(&elsewhere),
        "vit.layers.0.attention.o_proj: expected a matrix or a convolution of the backbone, found none"
    );
}

/// Options of PEFT's `LoraConfig`, one adapter each.
#[test]
fn every_option_merges_as_in_peft() {
    let _alone = alone();
    let options = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peft_options");
    let seen = file::load(&options.join("seen.safetensors")).unwrap().tensors;
    let base = base("timm_vit.safetensors");
    let plain = logits(&base);
    for (name, expected) in &seen {
        let merged = load_peft(&options.join(name)).unwrap().merge(&base).unwrap();
        let found = (logits(&merged) - expected).abs().max().double_value(&[]);
        assert!(found <= 1e-5, "{name}: {found}");
        let change = (&plain - expected).abs().max().double_value(&[]);
        assert!(change > 1e-2, "{name} shows no adaptation");
    }
    assert_eq!(seen.len(), 16);
}

/// The exact sum, rounded once to the type in which the weight is stored.
#[test]
fn factors_of_any_type_are_multiplied_in_a_wider_one() {
    let _alone = alone();
    let mut adapter = load_peft(&peers().join("peft_timm_lora")).unwrap();
    let (base, path) = (base("timm_vit.safetensors"), "blocks.1.attn.qkv");
    for stored in [Kind::Float, Kind::BFloat16, Kind::Half] {
        let typed: Tensors = base.iter().map(|(n, t)| (n.clone(), t.to_kind(stored))).collect();
        for factors in [Kind::Float, Kind::BFloat16, Kind::Half] {
            adapter.tensors.values_mut().for_each(|t| *t = t.to_kind(factors));
            let merged = &adapter.merge(&typed).unwrap()[&format!("{path}.weight")];
            let [a, b] = ["A", "B"]
                .map(|k| adapter.tensors[&format!("{path}.lora_{k}.weight")].to_kind(Kind::Double));
            let exact = typed[&format!("{path}.weight")].to_kind(Kind::Double) + b.matmul(&a) * 2.0;
            assert!(
                merged.kind() == stored && merged.equal(&exact.to_kind(stored)),
                "{stored:?}, {factors:?}"
            );
        }
    }
}

/// Names of other programs: the adapter's own, a wrapper around the base, several adapters.
#[test]
fn names_are_those_of_modules() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let source = peers().join("peft_timm_lora");
    std::fs::copy(source.join("adapter_config.json"), folder.path().join("adapter_config.json"))
        .unwrap();
    let whole = file::load(&source.join("adapter_model.safetensors")).unwrap().tensors;
    let expected = load_peft(&source).unwrap().tensors;
    let save = |rename: &dyn Fn(&str) -> String| {
        let named = whole.iter().map(|(name, t)| (rename(name), t.shallow_clone())).collect();
        file::save(&folder.path().join("adapter_model.safetensors"), &named, Default::default())
            .unwrap();
        load_peft(folder.path())
    };
    let named = save(&|name| name.replace(".weight", ".mine.weight")).unwrap().tensors;
    assert!(named.keys().eq(expected.keys()));
    let wrapped = save(&|name| name.replace("model.blocks", "model.base_model.model.blocks"))
        .unwrap()
        .tensors;
    assert!(wrapped.keys().eq(expected.keys()));
    let several = save(&|name| {
        name.replace(".weight", if name.contains("blocks.0") { ".a.weight" } else { ".b.weight" })
    });
    assert!(
        several.unwrap_err().to_string().ends_with("expected one adapter, found several: a, b")
    );
}

#[test]
fn factors_that_the_options_leave_out_are_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peft_options/layers");
    let base = base("timm_vit.safetensors");
    let model = "adapter_model.safetensors";
    std::fs::copy(source.join(model), folder.path().join(model)).unwrap();
    let text = std::fs::read_to_string(source.join("adapter_config.json")).unwrap();
    let refused = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        std::fs::write(folder.path().join("adapter_config.json"), changed).unwrap();
        load_peft(folder.path()).unwrap().merge(&base).unwrap_err().to_string()
    };
    let message = refused("\"layers_pattern\": \"blocks\"", "\"layers_pattern\": \"layers\"");
    assert!(message.contains("layers_to_transform leave it out"), "{message}");
    let message = refused("\"r\": 2", "\"r\": 3");
    assert!(message.contains("factors of rank 2, where r and rank_pattern give 3"), "{message}");
    let message = refused("\"use_dora\": false", "\"use_dora\": true");
    assert!(message.contains("found none, where use_dora is true"), "{message}");
}
