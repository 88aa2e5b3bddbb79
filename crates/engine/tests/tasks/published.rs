//! Checkpoints of MTLoRA's and EMTAL's authors, in the names that they publish, as whole models.
//!
//! Names are from methods of MTLoRA, section 7, and of EMTAL, section 12; values are random.
use std::path::{Path, PathBuf};

use crate::common::{alone, classes, recipe};
use polyptych_adapters::Form;
use polyptych_engine::{DataSets, Model, Recipe, load_backbone};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, LoadReport, Tensor, Tensors, no_grad};

fn model(recipe: &Recipe) -> Model {
    let specs = DataSets::open(recipe).unwrap().specs;
    Model::new(recipe, &specs, Form::Adapted, Device::Cpu).unwrap()
}

/// A model with random values, none of which is what a new one has.
fn drawn(recipe: &Recipe) -> Model {
    let model = model(recipe);
    no_grad(|| {
        for (_, mut tensor) in model.store.tensors() {
            let drawn = Tensor::rand(tensor.size(), (Kind::Float, Device::Cpu)) * 0.2 + 0.01;
            tensor.copy_(&drawn);
        }
    });
    model
}

fn save(folder: &Path, tensors: Tensors) -> PathBuf {
    let path = folder.join("published");
    let plain = tensors.into_iter().map(|(name, tensor)| (name, tensor.detach().contiguous()));
    file::save(&path, &plain.collect(), Default::default()).unwrap();
    path
}

/// The recipe with its backbone from `path`, and what loading says.
fn load(recipe: &Recipe, path: &Path) -> (Model, Result<LoadReport, String>) {
    let mut recipe = recipe.clone();
    recipe.backbone.weights = path.display().to_string();
    let model = model(&recipe);
    let report = load_backbone(&model, &recipe.backbone).map(Option::unwrap);
    let here = path.display().to_string();
    (model, report.map_err(|e| e.to_string().replace(&here, "HERE")))
}

fn same(a: &Model, b: &Model) {
    let pairs = a.store.tensors().into_iter().zip(b.store.tensors());
    pairs.for_each(|((name, a), (_, b))| assert!(a.equal(&b), "{name} differs"));
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let outputs = |model: &Model| no_grad(|| model.forward(&images, false).unwrap());
    outputs(a).iter().zip(outputs(b)).for_each(|(a, b)| assert!(a.equal(&b)));
}

/// Layers whose linear map lies one level deeper, beside its factors.
const ADAPTED: [&str; 5] = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "reduction"];

fn mtlora_recipe() -> Recipe {
    let fields = "r=4, r_per_task={depth=2, semseg=3}, downsampler=true, learnable_scale=true";
    let head = "{name=\"hrnet\", channels=[4, 4, 4, 4], hidden=8}";
    recipe(&[
        &format!("adapter={{method=\"mtlora\", {fields}}}"),
        &format!("tasks.depth.head={head}"),
    ])
}

fn mtlora_names(model: &Model) -> Tensors {
    let name = |name: String| match name.strip_prefix("heads.") {
        Some(head) => match head.split_once('.').unwrap() {
            (task, part) if part.starts_with("downsample_") => format!("downsampler.{task}.{part}"),
            (task, part) => format!("decoders.decoders.{task}.{part}"),
        },
        None => mtlora_backbone(&name),
    };
    model.store.tensors().into_iter().map(|(n, tensor)| (name(n), tensor)).collect()
}

fn mtlora_backbone(name: &str) -> String {
    let (path, part) = name.rsplit_once('.').unwrap();
    let adapted = ADAPTED.iter().any(|layer| path.ends_with(layer));
    let linear = if adapted && ["weight", "bias"].contains(&part) { ".linear" } else { "" };
    let mut path = path.to_owned();
    for stage in 1..4 {
        path = path.replace(
            &format!("layers.{stage}.downsample"),
            &format!("layers.{}.downsample", stage - 1),
        );
    }
    format!("{path}{linear}.{part}")
}

#[test]
fn mtloras_checkpoint_is_a_whole_model() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = mtlora_recipe();
    let published = drawn(&recipe);
    let mut tensors = mtlora_names(&published);
    for known in [
        "backbone.layers.2.blocks.5.mlp.fc1.linear.weight",
        "backbone.layers.2.blocks.5.mlp.fc1.lora_shared_A",
        "backbone.layers.3.blocks.1.attn.proj.lora_tasks_B.semseg",
        "backbone.layers.3.blocks.1.attn.proj.lora_task_scale.depth",
        "backbone.layers.0.downsample.reduction.linear.weight",
        "downsampler.semseg.downsample_3.weight",
        "decoders.decoders.depth.last_layer.1.running_var",
    ] {
        assert!(tensors.contains_key(known), "{known}: {:?}", tensors.keys());
    }
    let zero = || Tensor::zeros([1], (Kind::Int64, Device::Cpu));
    let computed = [
        "backbone.layers.0.blocks.1.attn_mask",
        "backbone.layers.0.blocks.0.attn.relative_position_index",
        "decoders.decoders.semseg.last_layer.1.num_batches_tracked",
    ];
    tensors.extend(computed.map(|name| (name.to_owned(), zero())));
    let (loaded, report) = load(&recipe, &save(folder.path(), tensors));
    let report = report.unwrap();
    assert!(report.missing.is_empty() && report.resampled.is_empty(), "{report:?}");
    assert_eq!(report.unused.len(), computed.len(), "{report:?}");
    same(&published, &loaded);
}

#[test]
fn what_mtloras_checkpoint_lacks_or_has_otherwise_is_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = mtlora_recipe();
    let published = drawn(&recipe);
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = mtlora_names(&published);
        change(&mut tensors);
        load(&recipe, &save(folder.path(), tensors)).1.unwrap_err()
    };
    let message = refused(&|tensors| {
        tensors.retain(|name, _| !name.ends_with("layers.0.blocks.0.attn.qkv.lora_shared_A"));
    });
    assert_eq!(message, "HERE: backbone.layers.0.blocks.0.attn.qkv.lora_shared_A: missing");
    let message = refused(&|tensors| {
        let output = "decoders.decoders.semseg.last_layer.3.weight";
        tensors.insert(output.into(), Tensor::zeros([40, 8, 1, 1], (Kind::Float, Device::Cpu)));
    });
    let classes = published.tasks.iter().find(|task| task.spec.name == "semseg").unwrap();
    let classes = classes.spec.classes.len();
    assert_eq!(
        message,
        format!(
            "weights `HERE: heads.semseg.last_layer.3.weight`: expected [{classes}, 8, 1, 1] for \
             {classes} classes, found [40, 8, 1, 1]: choose the data set whose `semseg` the \
             weights were trained on and tasks.semseg.head as it was, or set backbone.heads=false \
             to begin with new heads"
        )
    );
    let message = refused(&|tensors| {
        tensors.retain(|name, _| !name.ends_with("depth.last_layer.0.bias"));
    });
    assert!(message.contains("heads.depth.last_layer.0.bias`: expected [8], found none"));
    let mut other = recipe.clone();
    other.adapter = crate::common::recipe(&["adapter={method=\"bitfit\"}"]).adapter;
    let path = save(folder.path(), mtlora_names(&published));
    let message = load(&other, &path).1.unwrap_err();
    let name = "backbone.layers.0.blocks.0.attn.proj.lora_shared_A of MTLoRA";
    let start = "weights `HERE`: expected parameters of the recipe's method, found";
    assert!(message.starts_with(&format!("{start} {name}: set adapter.method")), "{message}");
}

#[test]
fn heads_of_a_checkpoint_may_be_left_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = mtlora_recipe();
    let mut tensors = mtlora_names(&drawn(&recipe));
    let output = "decoders.decoders.semseg.last_layer.3.weight";
    tensors.insert(output.into(), Tensor::zeros([40, 8, 1, 1], (Kind::Float, Device::Cpu)));
    let mut new_heads = recipe.clone();
    new_heads.backbone.heads = false;
    let (_, report) = load(&new_heads, &save(folder.path(), tensors));
    let report = report.unwrap();
    assert!(report.missing.iter().all(|name| name.starts_with("heads.")), "{report:?}");
    assert!(report.loaded.iter().all(|name| name.starts_with("backbone.")), "{report:?}");
}

/// Factors lie inputs first, and one classifier has the classes of all tasks.
fn emtal_names(model: &Model) -> Tensors {
    let mut tensors = Tensors::new();
    let mut heads: [Vec<Tensor>; 2] = [Vec::new(), Vec::new()];
    let stored: Tensors = model.store.tensors().into_iter().collect();
    for task in &model.tasks {
        for (part, rows) in ["weight", "bias"].iter().zip(&mut heads) {
            rows.push(stored[&format!("heads.{}.{part}", task.spec.name)].shallow_clone());
        }
    }
    for (part, rows) in ["weight", "bias"].iter().zip(&heads) {
        tensors.insert(format!("head.{part}"), Tensor::cat(rows, 0));
    }
    for (name, tensor) in stored.iter().filter(|(name, _)| !name.starts_with("heads.")) {
        let mut name = name.strip_prefix("backbone.").unwrap().to_owned();
        let turned = name.contains(".lora_A") || name.contains(".lora_B");
        for (ours, theirs) in [
            ("attn.qkv.lora_A.weight", "attn.lora_qkv"),
            ("attn.qkv.lora_B.weight", "attn.lora_qkv2"),
            ("attn.proj.lora_A.weight", "attn.lora_proj"),
            ("attn.proj.lora_B.weight", "attn.lora_proj2"),
            ("mlp.fc1.lora_A.weight", "mlp.lora_fc1_a"),
            ("mlp.fc1.lora_B.weight", "mlp.lora_fc1_b"),
            ("mlp.fc2.lora_A.weight", "mlp.lora_fc2_a"),
            ("mlp.fc2.lora_B.weight", "mlp.lora_fc2_b"),
            ("mlp.lora_router.weight", "mlp.gate_weight_lora.weight"),
        ] {
            name = name.replace(ours, theirs);
        }
        let tensor = if turned { tensor.tr() } else { tensor.shallow_clone() };
        tensors.insert(name, tensor);
    }
    tensors
}

#[test]
fn emtals_checkpoint_is_a_whole_model() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = classes(&["backbone.name=\"vit_tiny_patch16_224\""]);
    let published = drawn(&recipe);
    let tensors = || emtal_names(&published);
    for known in [
        "cls_token",
        "blocks.11.attn.lora_qkv2",
        "blocks.11.mlp.lora_fc2_a",
        "blocks.11.mlp.gate_weight_lora.weight",
        "norm.weight",
    ] {
        assert!(tensors().contains_key(known), "{known}: {:?}", tensors().keys());
    }
    assert_eq!(tensors()["blocks.0.attn.lora_qkv"].size(), [192, 2]);
    assert_eq!(tensors()["head.weight"].size(), [12 + 16, 192]);
    let (loaded, report) = load(&recipe, &save(folder.path(), tensors()));
    let report = report.unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    same(&published, &loaded);
    // Clustered weights are such a file before training: a router, and no factors yet.
    let mut clustered = tensors();
    clustered.retain(|name, _| !name.contains("lora_") || name.contains("gate_weight_lora"));
    let (_, report) = load(&recipe, &save(folder.path(), clustered));
    assert_eq!(report.unwrap().missing.len(), 12 * 8);
    let mut fewer = tensors();
    fewer.insert("head.weight".into(), fewer["head.weight"].narrow(0, 0, 20));
    let message = load(&recipe, &save(folder.path(), fewer)).1.unwrap_err();
    assert!(
        message.contains("head.weight: expected the 28 classes of the recipe's tasks, found 20")
    );
    assert!(message.ends_with("set backbone.heads=false to begin with new heads"), "{message}");
}
