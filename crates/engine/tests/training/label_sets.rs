//! A label set that grows: a decoupled head keeps what it knows of its classes.
use crate::common::{alone, recipe};
use polyptych_adapters::Form;
use polyptych_engine::{BackboneRecipe, DataSets, Model, load_backbone};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

#[test]
fn known_classes_keep_their_scores_in_a_larger_set() {
    let _alone = alone();
    let tags = "tasks.tags={weight=1.0, head={name=\"decoupled\", dim=8, num_heads=2}}";
    let recipe = recipe(&[tags, "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}"]);
    let specs = DataSets::describe(&recipe).unwrap();
    let mut fewer = specs.clone();
    let tags = fewer.iter_mut().find(|spec| spec.name == "tags").unwrap();
    let all = tags.classes.len();
    tags.classes.truncate(all - 2);
    let known = Model::new(&recipe, &fewer, Form::Adapted, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("recipe.toml"), recipe.to_toml().unwrap()).unwrap();
    let tensors = known.store.tensors().into_iter().collect();
    let (key, value) = polyptych_backbones::ROUNDED_UP;
    let header = [(key.to_owned(), value.to_owned())].into();
    file::save(&folder.path().join("model.safetensors"), &tensors, header).unwrap();

    let more = Model::new(&recipe, &specs, Form::Adapted, Device::Cpu).unwrap();
    let weights = folder.path().display().to_string();
    load_backbone(&more, &BackboneRecipe { weights, ..recipe.backbone.clone() }).unwrap();
    let images = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let scores = |model: &Model| no_grad(|| model.forward(&images, false)).unwrap().remove(2);
    let (before, after) = (scores(&known), scores(&more));
    assert_eq!(after.size(), [2, all as i64]);
    let difference = before - after.narrow(1, 0, all as i64 - 2);
    assert!(difference.abs().max().double_value(&[]) < 1e-5);
}
