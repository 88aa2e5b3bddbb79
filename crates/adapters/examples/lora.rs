//! LoRA on a Swin, trained for a step and merged: `cargo run -p polyptych-adapters --example lora`.

use std::collections::HashMap;

use polyptych_adapters::methods::lora::LoraConfig;
use polyptych_adapters::{AdapterConfig, Form, TargetModules};
use polyptych_backbones::{BackboneConfig, Options};
use polyptych_formats::file;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{Device, Kind, LoadOptions, Store, Tensor, Tensors, manual_seed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    manual_seed(0);
    let lora = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: TargetModules::Names(vec!["qkv".into()]),
        bias: Default::default(),
    };
    let adapter = AdapterConfig::from(lora);
    let tasks = ["depth".to_owned()];
    let plan = adapter.plan(&tasks, Form::Adapted)?;
    let config = BackboneConfig::from_name("swin_micro_patch4_window4_128")?;
    let store = Store::new(Device::Cpu);
    let built = config.build(&store.root(), plan.as_ref(), Options::default())?;
    plan.set_trainable(&store);
    println!("{} of {} tensors train", store.trainable().len(), store.tensors().len());

    let image = Tensor::randn([1, 3, 128, 128], (Kind::Float, Device::Cpu));
    let features = built.backbone.forward_features(&image, true)?;
    features.expect_shared().square().mean(Kind::Float).backward();
    AdamW::new(AdamWConfig::default(), decay_groups(store.trainable(), 0.0)).step(1e-2)?;

    // A merged model is the plain backbone, under timm's names.
    let tensors: Tensors = store.tensors().into_iter().collect();
    let merged = plan.merge(&built.sites, &tensors)?;
    let plain = Store::new(Device::Cpu);
    let merged_plan = adapter.plan(&tasks, Form::Merged)?;
    let backbone = config.init(&plain.root(), merged_plan.as_ref(), Options::default())?;
    plain.load("merged", &merged, &LoadOptions::default())?;
    let before = built.backbone.forward_features(&image, false)?.into_shared();
    let after = backbone.forward_features(&image, false)?.into_shared();
    let difference = ((&before - &after).abs().max() / before.abs().max()).double_value(&[]);
    println!("merged: {} tensors, outputs differ by {difference:.1e}", merged.len());

    let path = std::env::temp_dir().join(format!("polyptych-{}.safetensors", std::process::id()));
    file::save(&path, &merged, HashMap::new())?;
    println!("written: {} bytes", std::fs::metadata(&path)?.len());
    std::fs::remove_file(&path)?;
    Ok(())
}
