//! Every registered method on every architecture: it starts as the plain backbone and merges
//! without changing outputs, or is refused by name.
use std::collections::BTreeSet;

use polyptych_adapters::{AdapterConfig, Form, is_method_parameter};
use polyptych_backbones::{BackboneConfig, Intermediates, Options};
use polyptych_tensor::{Device, Store, Tensor, Tensors};
use serde_json::{Value, json};

use crate::support::{Built, TASKS, adapter, alone, image, redraw};

/// Rounding of a trunk whose branches are as large as its stream.
const TOLERANCE: f64 = 1e-4;

/// Parameters that select layers.
const SELECTING: [&str; 6] =
    ["taps_s", "diff_alpha", "diff_group", "interro_alpha", "mor1e_omega", "mor1e_gate"];

/// Why an architecture has no place for a method, as the message begins.
fn refusal(architecture: &str, method: &str) -> Option<&'static str> {
    let apart = ["pvt_v2", "eva, gated", "convnext"].contains(&architecture);
    let gated = ["pvt_v2", "eva, gated", "eva, packed"].contains(&architecture);
    let pyramid = ["pvt_v2", "convnext", "hiera"].contains(&architecture);
    match method {
        "relative_bias" if architecture == "beit" => None,
        "relative_bias" => Some("relative_bias: expected a backbone with relative position tables"),
        "vpt" | "mpt" | "attempt" if pyramid => {
            Some("adapter: expected a backbone with a place for prompts")
        }
        "tadformer" => Some("adapter: expected a backbone whose windows take prompts of tasks"),
        "side_branch" if pyramid => {
            Some("adapter: expected a backbone whose stages are alike or joined by patch merging")
        }
        "emtal" if gated => Some("adapter: expected a backbone whose perceptrons have a place"),
        "lora" | "dora" if apart => {
            Some("target_modules: expected a name that the backbone has, found qkv")
        }
        _ => None,
    }
}

fn backbone(architecture: &str, fields: Value) -> BackboneConfig {
    let example = BackboneConfig::examples().into_iter().find(|b| b.name() == architecture);
    let mut json = serde_json::to_value(example.unwrap()).unwrap();
    json.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(json).unwrap()
}

/// Small ones of each kind of layer.
fn backbones() -> Vec<(&'static str, BackboneConfig)> {
    let plain = json!({
        "img_size": [32, 32], "patch_size": 8, "num_classes": 0, "embed_dim": 16, "depth": 3,
        "num_heads": 2, "mlp_ratio": 2.0,
    });
    let with = |more: Value| {
        let mut fields = plain.clone();
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let pyramid = json!({
        "img_size": [32, 32], "num_classes": 0, "embed_dim": 12, "depths": [2, 2],
        "num_heads": [1, 2], "mlp_ratio": 2.0, "drop_path_rate": 0.0,
    });
    let pvt = json!({
        "img_size": [32, 32], "num_classes": 0, "embed_dims": [12, 24], "depths": [2, 2],
        "num_heads": [1, 2], "mlp_ratios": [2.0, 2.0], "sr_ratios": [2, 1], "drop_path_rate": 0.0,
    });
    let convolved = json!({
        "img_size": [32, 32], "num_classes": 0, "dims": [12, 24], "depths": [2, 2],
        "ls_init_value": 1.0, "drop_path_rate": 0.0,
    });
    let units = json!({
        "img_size": [32, 32], "num_classes": 0, "embed_dim": 12, "num_heads": 1, "stages": [1, 2],
        "mask_unit_size": 4, "mask_unit_attn": [true, false], "mlp_ratio": 2.0,
    });
    let gated = json!({
        "swiglu_mlp": true, "scale_mlp": true, "qkv_fused": false, "qkv_bias": true,
        "scale_attn_inner": true,
    });
    vec![
        ("vit, pre-norm", backbone("vit", with(json!({"pre_norm": true})))),
        ("vit, tanh", backbone("vit", with(json!({"act_layer": "gelu_tanh"})))),
        ("swinv2", backbone("swinv2", pyramid)),
        ("pvt_v2", backbone("pvt_v2", pvt)),
        ("convnext", backbone("convnext", convolved)),
        ("hiera", backbone("hiera", units)),
        ("beit", backbone("beit", with(json!({"use_abs_pos_emb": true})))),
        ("eva", backbone("eva", with(json!({"qkv_bias": true})))),
        ("eva, gated", backbone("eva", with(gated))),
        ("eva, packed", backbone("eva", with(json!({"swiglu_mlp": true})))),
    ]
}

fn methods() -> Vec<(String, AdapterConfig)> {
    let all = json!({"method": "lora", "r": 2, "target_modules": "all-linear"});
    let parts =
        json!({"method": "lora", "r": 2, "target_modules": ["q", "v", "q_proj", "kv", "fc1"]});
    let examples = AdapterConfig::examples().into_iter();
    let named = examples.map(|config| (config.name().to_owned(), config));
    let mixed = json!({"method": "attempt", "mix": "adapters", "temperature": 1.0});
    let more = [("lora, all", all), ("lora, parts", parts), ("attempt, adapters", mixed)];
    named.chain(more.map(|(name, fields)| (name.to_owned(), adapter(fields)))).collect()
}

/// The streams of all tasks and levels.
fn streams(out: &Intermediates) -> Vec<Tensor> {
    let tasks = 0..TASKS.len() as i64;
    out.levels.iter().flat_map(|level| tasks.clone().map(|task| level.task(task))).collect()
}

fn compare(what: &str, found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let largest = expected.abs().max().double_value(&[]).max(1.0);
        let difference = crate::support::difference(found, expected) / largest;
        assert!(difference <= TOLERANCE, "{what}: {difference}");
    }
}

/// The method on the backbone, or why not.
fn built(backbone: &BackboneConfig, config: &AdapterConfig) -> Result<Built, String> {
    let plan =
        config.plan(&crate::support::tasks(&TASKS), Form::Adapted).map_err(|e| e.to_string())?;
    let options = Options { features_only: true, ..Options::default() };
    let scope = Store::new(Device::Cpu).root();
    backbone.build(&scope, plan.as_ref(), options).map_err(|e| e.to_string())?;
    Ok(Built::adapted(backbone, config, Form::Adapted))
}

fn starts_plain(what: &str, backbone: &BackboneConfig, built: &Built) {
    // What does not begin at zero by itself.
    redraw(&built.store, 0.0, |name| ["lora_norm", "lora_B"].iter().any(|p| name.contains(p)));
    built.plan.set_progress(1, 1);
    let plain = Built::plain(backbone, built.plan.pyramid());
    let weights = built.tensors().into_iter().filter(|(name, _)| !is_method_parameter(name));
    plain.load(&weights.collect::<Tensors>());
    let image = image();
    compare(what, &streams(&built.eval(&image)), &streams(&plain.eval(&image)));
}

fn merges(what: &str, backbone: &BackboneConfig, config: &AdapterConfig, built: &Built) {
    redraw(&built.store, 0.3, |name| !is_method_parameter(name) && !name.contains("norm"));
    // What selects layers stays, or some layers would have no effect at all.
    let trainable = built.store.trainable().into_iter().map(|(name, _)| name);
    let trainable: BTreeSet<String> = trainable.filter(|name| is_method_parameter(name)).collect();
    let selects = |name: &str| SELECTING.iter().any(|part| name.contains(part));
    redraw(&built.store, 0.1, |name| trainable.contains(name) && !selects(name));
    let merged = Built::adapted(backbone, config, Form::Merged);
    merged.load(&built.merged());
    let image = image();
    compare(what, &streams(&merged.eval(&image)), &streams(&built.eval(&image)));
}

#[test]
fn every_method_starts_plain_and_merges_or_is_refused_by_name() {
    let _alone = alone();
    for (architecture, backbone) in backbones() {
        for (method, config) in methods() {
            let what = format!("{architecture}, {method}");
            let built = match (built(&backbone, &config), refusal(architecture, &method)) {
                (Ok(built), None) => built,
                (Err(found), Some(expected)) => {
                    assert!(found.starts_with(expected), "{what}: {found}");
                    continue;
                }
                (Ok(_), Some(_)) => panic!("{what}: expected a refusal"),
                (Err(found), None) => panic!("{what}: {found}"),
            };
            // Every token attends to prompts, and what finished runs know counts, from the first
            // step on.
            if !["vpt", "mpt", "attempt", "scalearn"].contains(&config.name()) {
                starts_plain(&format!("{what}, start"), &backbone, &built);
            }
            if built.plan.unmergeable().is_none() {
                merges(&format!("{what}, merged"), &backbone, &config, &built);
            }
        }
    }
}
