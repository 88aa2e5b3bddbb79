//! LoRA on a ViT against PEFT on Hugging Face's ViT.
//!
//! `oracles/peft_lora_vit.safetensors` holds what peft 0.21.2 on transformers 5.23.0 made in
//! float32 on the CPU (seeds 9, 10, 11). Hugging Face's norms have eps 1e-12, timm's 1e-6, which
//! moves these logits by less than the tolerance of a backbone, 1e-4.
use polyptych_adapters::methods::decoder_only::DecoderOnlyConfig;
use polyptych_adapters::{AdapterConfig, Form, Method};
use polyptych_backbones::{Backbone, BackboneConfig, GlobalPool, Options, VitConfig};
use polyptych_formats::TensorFile;
use polyptych_tensor::{Device, LoadOptions, Plan, Store, Tensor, Tensors};
use serde_json::json;

use crate::support::{alone, below, close, difference, oracle};

const ADAPTER: &str = "weights.adapter::base_model.model.";

fn vit() -> VitConfig {
    VitConfig {
        img_size: [32, 32],
        patch_size: 8,
        num_classes: 5,
        embed_dim: 48,
        depth: 2,
        num_heads: 3,
        mlp_ratio: 2.0,
        class_token: true,
        global_pool: GlobalPool::Token,
        ..VitConfig::micro()
    }
}

fn lora() -> AdapterConfig {
    crate::support::adapter(json!({
        "method": "lora", "r": 4, "lora_alpha": 8.0, "target_modules": ["q", "k", "v", "attn.proj"],
    }))
}

/// Hugging Face's module names to timm's; `q`, `k` and `v` stay apart.
fn renamed(name: &str) -> String {
    const TABLE: [(&str, &str); 12] = [
        ("vit.embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("vit.embeddings.cls_token", "cls_token"),
        ("vit.embeddings.position_embeddings", "pos_embed"),
        ("vit.layers.", "blocks."),
        ("vit.layernorm", "norm"),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.q_proj", "attn.qkv.q"),
        ("attention.k_proj", "attn.qkv.k"),
        ("attention.v_proj", "attn.qkv.v"),
        ("attention.o_proj", "attn.proj"),
        ("classifier", "head"),
    ];
    TABLE.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The plain ViT's weights under timm's names, `q`, `k` and `v` joined.
fn base(file: &TensorFile) -> Tensors {
    let mut weights: Tensors = below(file, "weights.")
        .into_iter()
        .filter(|(name, _)| !name.starts_with("adapter::"))
        .map(|(name, tensor)| (renamed(&name), tensor))
        .collect();
    for block in 0..2 {
        for kind in ["weight", "bias"] {
            let path = format!("blocks.{block}.attn.qkv");
            let mut take = |part: &str| weights.remove(&format!("{path}.{part}.{kind}")).unwrap();
            let joined = Tensor::cat(&[take("q"), take("k"), take("v")], 0);
            weights.insert(format!("{path}.{kind}"), joined);
        }
    }
    weights
}

fn adapted(file: &TensorFile) -> Tensors {
    let factors = below(file, ADAPTER);
    let factors = factors.into_iter().map(|(name, tensor)| (renamed(&name), tensor));
    base(file).into_iter().chain(factors).collect()
}

fn logits(plan: &dyn Plan, weights: &Tensors, file: &TensorFile) -> Tensor {
    let store = Store::new(Device::Cpu);
    let vit = vit().init(&store.root(), plan, Options::default()).unwrap();
    store.load("oracle", weights, &LoadOptions::default()).unwrap();
    let features = vit.forward_features(&file.tensors["input.x"], false).unwrap();
    vit.forward_head(&features, false).into_shared()
}

fn compare(name: &str, found: &Tensor, file: &TensorFile) {
    close(name, found, &file.tensors[&format!("output.{name}")], 1e-4);
}

#[test]
fn logits_before_and_after_adaptation_equal_pefts() {
    let _alone = alone();
    let file = oracle("peft_lora_vit");
    let [plain, with] =
        ["base_logits", "adapted_logits"].map(|n| &file.tensors[&format!("output.{n}")]);
    assert!(difference(plain, with) > 0.05, "the oracle shows no adaptation");
    let none = DecoderOnlyConfig {}.plan(&[], Form::Adapted).unwrap();
    compare("base_logits", &logits(none.as_ref(), &base(&file), &file), &file);
    let lora = lora().plan(&[], Form::Adapted).unwrap();
    compare("adapted_logits", &logits(lora.as_ref(), &adapted(&file), &file), &file);
}

#[test]
fn merged_weights_in_a_plain_vit_equal_pefts_merged_model() {
    let _alone = alone();
    let file = oracle("peft_lora_vit");
    let lora = lora().plan(&[], Form::Adapted).unwrap();
    let weights = adapted(&file);
    let root = Store::new(Device::Cpu).root();
    let config = BackboneConfig::from(vit());
    let sites = config.build(&root, lora.as_ref(), Options::default()).unwrap().sites;
    let merged = lora.merge(&sites, &weights).unwrap();
    let none = DecoderOnlyConfig {}.plan(&[], Form::Adapted).unwrap();
    compare("merged_logits", &logits(none.as_ref(), &merged, &file), &file);
}
