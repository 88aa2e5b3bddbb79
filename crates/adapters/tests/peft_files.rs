//! Adapter folders as PEFT writes them, folded into the weights that they were trained beside.
//!
//! `crates/backbones/tests/peers/make.py` wrote them, and what the adapted models give.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use polyptych_adapters::{PeftAdapter, load_peft};
use polyptych_backbones::{Backbone, Checkpoint, GlobalPool, Options, VitConfig, rename};
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors, file};

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
        in_chans: 3,
        num_classes: 5,
        embed_dim: 24,
        depth: 2,
        num_heads: 3,
        mlp_ratio: 2.0,
        qkv_bias: true,
        init_values: None,
        class_token: true,
        reg_tokens: 0,
        no_embed_class: false,
        global_pool: GlobalPool::Token,
        drop_path_rate: 0.0,
    };
    let store = Store::new(Device::Cpu);
    let vit = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    store.load("folded", weights, &LoadOptions::default()).unwrap();
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    vit.forward_head(&vit.forward_features(&seen["small"], false).unwrap(), false).shared
}

fn same_logits(name: &str, base: &Tensors, adapter: &PeftAdapter) {
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    let difference = |found: &Tensor| (found - &seen[name]).abs().max().double_value(&[]);
    assert!(difference(&logits(base)) > 0.05, "{name} shows no adaptation");
    let found = difference(&logits(&adapter.fold(base).unwrap()));
    println!("{name}: largest difference {found:.1e}");
    assert!(found <= 1e-4, "{name}: {found}");
}

#[test]
fn adapters_on_timms_names_fold() {
    let base = base("timm_vit.safetensors");
    for name in ["peft_timm_lora", "peft_timm_dora"] {
        same_logits(name, &base, &load_peft(&peers().join(name)).unwrap());
    }
}

#[test]
fn adapters_on_hugging_faces_names_fold() {
    let name = "peft_huggingface_lora";
    let adapter = load_peft(&peers().join(name)).unwrap().renamed(rename::huggingface_vit_name);
    assert!(adapter.tensors.contains_key("blocks.1.attn.qkv.v.lora_B.weight"));
    same_logits(name, &base("huggingface_vit"), &adapter);
}

#[test]
fn factors_that_fit_no_weight_are_named() {
    let base = base("timm_vit.safetensors");
    let mut adapter = load_peft(&peers().join("peft_timm_lora")).unwrap();
    let refused = |adapter: &PeftAdapter| adapter.fold(&base).unwrap_err().to_string();
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
        "vit.layers.0.attention.o_proj: expected a matrix of the backbone, found []"
    );
}
