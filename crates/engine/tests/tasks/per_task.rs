//! Copies per task: each learns as in a run of its task alone, beside frozen weights that exist
//! once.
use std::collections::BTreeMap;

use crate::common::{alone, classes, recipe, train};
use polyptych_adapters::Form;
use polyptych_engine::{
    DataSets, Model, OpenRun, ParameterSummary, Recipe, Trainer, evaluate, merge, time, to_tensor,
};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, Role, Tensor, manual_seed, no_grad};

const TASKS: [&str; 2] = ["depth", "semseg"];
const LORA: &str = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], bias=\"lora_only\", lora_dropout=0.1}";
const BITFIT: &str = "adapter={method=\"bitfit\", relative_position_bias=true}";
const COMPACTER: &str = "adapter={method=\"compacter\", phm_dim=2, reduction_factor=4}";
const FULL: &str = "adapter={method=\"full\"}";
/// Its tables are made for larger windows than these images have.
const SHIPPED: &str = "backbone.weights=swin_micro_patch4_window4_128.scenes_cifar10";

fn copies(overrides: &[&str]) -> Recipe {
    recipe(&[overrides, &["backbone.per_task=true"]].concat())
}

fn single(task: &str, overrides: &[&str]) -> Recipe {
    let mut recipe = recipe(overrides);
    recipe.tasks.retain(|name, _| name == task);
    recipe
}

fn model(recipe: &Recipe) -> Model {
    let specs = DataSets::open(recipe).unwrap().specs;
    Model::new(recipe, &specs, Form::Adapted, Device::Cpu).unwrap()
}

fn images() -> Tensor {
    let loader = DataSets::open_eval(&recipe(&[LORA])).unwrap();
    let batch = loader.epoch(0, 0).unwrap().next().unwrap().unwrap();
    to_tensor(&batch.images, Device::Cpu)
}

fn tensors(model: &Model) -> BTreeMap<String, Tensor> {
    model.store.tensors().into_iter().collect()
}

/// Clipping bites in every step, and dropout and stochastic depth are drawn.
#[test]
fn a_copy_learns_as_in_a_run_of_its_task_alone() {
    let _alone = alone();
    let clip = "train.clip_grad_norm=0.01";
    let bf16 = "precision=bf16";
    for overrides in [&[LORA, clip][..], &[BITFIT, clip, SHIPPED], &[COMPACTER, bf16], &[FULL]] {
        let folder = tempfile::tempdir().unwrap();
        let (all, outcome) = train(copies(overrides), &folder.path().join("all"));
        let found = tensors(all.model());
        let evaluation = outcome.evaluation.unwrap();
        for (index, task) in TASKS.into_iter().enumerate() {
            let path = folder.path().join(task);
            let (one, outcome) = train(single(task, overrides), &path);
            for (name, expected) in tensors(one.model()) {
                let own = format!("tasks.{task}.{name}");
                let found = found.get(&own).unwrap_or_else(|| &found[&name]);
                assert!(found.equal(&expected), "{overrides:?}: {task}: {name}");
                assert_eq!(found.requires_grad(), expected.requires_grad(), "{name}");
            }
            let scores = outcome.evaluation.unwrap().tasks.remove(0);
            assert_eq!(evaluation.tasks[index], scores, "{overrides:?}");
        }
    }
}

#[test]
fn gradients_of_a_task_reach_its_own_copy_alone() {
    let _alone = alone();
    for method in [LORA, BITFIT, COMPACTER, FULL] {
        let model = model(&copies(&[method]));
        for (task, raw) in TASKS.iter().zip(model.forward(&images(), true).unwrap()) {
            raw.square().sum(Kind::Float).backward();
            for (name, param) in model.store.trainable() {
                let own = [format!("tasks.{task}."), format!("heads.{task}.")];
                let is_own = own.iter().any(|scope| name.starts_with(scope));
                let grad = param.grad();
                let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
                assert!(is_own || !reached, "{method}: {task} reaches {name}");
                assert!(!is_own || grad.defined(), "{method}: {task} misses {name}");
                param.shallow_clone().zero_grad();
            }
        }
    }
}

#[test]
fn frozen_weights_exist_once() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (trainer, _) = train(copies(&[LORA]), &folder.path().join("run"));
    let plain =
        ParameterSummary::of(&model(&recipe(&["adapter={method=\"decoder_only\"}"]))).total();
    let one = ParameterSummary::of(&model(&recipe(&[LORA]))).total();
    let counted = ParameterSummary::of(trainer.model());
    let copied = counted.rows.iter().filter(|row| row.group.starts_with("tasks."));
    let copied: Vec<_> = copied.map(|row| (row.group.as_str(), row.trainable)).collect();
    let names = ["tasks.depth", "tasks.depth, adapter", "tasks.semseg", "tasks.semseg, adapter"];
    assert_eq!(copied.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    assert_eq!(copied.iter().map(|(_, n)| n).sum::<i64>(), 2 * (one.trainable - plain.trainable));
    // Factors are new, the biases that train beside them were there before.
    let total = counted.total();
    assert_eq!(total.total - one.total, one.trainable - plain.trainable);
    let path = folder.path().join("run/checkpoints/step-00000006/model.safetensors");
    let stored = file::load(&path).unwrap().tensors;
    assert_eq!(stored.values().map(|t| t.numel() as i64).sum::<i64>(), total.stored);
    let opened = OpenRun::open(&folder.path().join("run"), false, None).unwrap().model;
    for model in [trainer.model(), &opened] {
        let images = images();
        let outputs = || no_grad(|| model.forward(&images, false)).unwrap();
        let before = outputs();
        no_grad(|| {
            drop(
                tensors(model)["backbone.layers.0.blocks.0.mlp.fc1.weight"].shallow_clone().zero_(),
            )
        });
        for (before, after) in before.iter().zip(outputs()) {
            assert!(!before.equal(&after), "a copy has frozen weights of its own");
        }
    }
}

/// What is drawn after it shows whether another trunk, or head, has drawn before.
#[test]
fn fewer_tasks_run_their_own_trunks_alone() {
    let _alone = alone();
    let (all, images) = (model(&copies(&[LORA])), images());
    let outputs = no_grad(|| all.forward(&images, false)).unwrap();
    for (index, task) in TASKS.into_iter().enumerate() {
        let wanted = |t: &polyptych_engine::Task| t.spec.name == task;
        let some = no_grad(|| all.forward_some(&images, false, wanted)).unwrap();
        assert!(some.len() == 1 && some[0].equal(&outputs[index]), "{task}");
        let one = model(&single(task, &[LORA]));
        let drawn_after = |run: &dyn Fn() -> Vec<Tensor>| {
            manual_seed(7);
            let outputs = no_grad(run);
            (outputs, Tensor::rand([4], (Kind::Float, Device::Cpu)))
        };
        let (found, draws) = drawn_after(&|| all.forward_some(&images, true, wanted).unwrap());
        let (expected, same) = drawn_after(&|| one.forward(&images, true).unwrap());
        assert!(found[0].equal(&expected[0]) && draws.equal(&same), "{task}");
    }
    assert!(all.forward_some(&images, false, |_| false).unwrap().is_empty());
}

#[test]
fn every_copy_folds_to_a_backbone_of_its_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
    let overrides = ["adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}"];
    drop(train(copies(&overrides), &path));
    let run = OpenRun::open(&path, false, None).unwrap();
    let report = merge(&run, &out, false).unwrap();
    assert!(report.kept.is_empty() && report.merged > 0, "{report:?}");
    assert!(!out.join("backbone.safetensors").exists());
    let plain = |task: &str| file::load(&out.join(format!("backbone.{task}.safetensors"))).unwrap();
    let [depth, semseg] = TASKS.map(|task| plain(task).tensors);
    let timm = tensors(&model(&recipe(&[FULL]))).into_keys();
    let timm: Vec<String> =
        timm.filter_map(|name| Some(name.strip_prefix("backbone.")?.to_owned())).collect();
    assert!(depth.keys().eq(&timm) && semseg.keys().eq(&timm));
    for name in timm {
        let adapted = ["qkv", "proj", "fc1", "fc2", "reduction"];
        let differs = adapted.iter().any(|end| name.ends_with(&format!("{end}.weight")));
        let differs = differs && !name.starts_with("patch_embed");
        assert_eq!(depth[&name].equal(&semseg[&name]), !differs, "{name}");
    }
    let merged = OpenRun::open(&out, false, None).unwrap();
    let loader = DataSets::open_eval(&run.recipe).unwrap();
    let scores = |run: &OpenRun| evaluate(&run.model, &loader, None, |_| ()).unwrap();
    for (a, b) in scores(&run).headlines().into_iter().zip(scores(&merged).headlines()) {
        assert!((a.1.value - b.1.value).abs() <= 1e-4, "{a:?} {b:?}");
    }
    assert!(time(&run, 1, 1).unwrap().merged_ms.is_some());
}

#[test]
fn what_does_not_fold_is_refused_for_copies_too() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    drop(train(copies(&[COMPACTER]), &folder.path().join("run")));
    let run = OpenRun::open(&folder.path().join("run"), false, None).unwrap();
    let message = merge(&run, &folder.path().join("merged"), false).unwrap_err().to_string();
    assert!(message.contains("the bottlenecks are not linear"), "{message}");
}

/// Each task keeps the classifier of its own classes, behind its own final norm.
#[test]
fn copies_serve_tasks_of_whole_images() {
    let _alone = alone();
    let mut recipe = Recipe { union: None, ..classes(&[FULL]) };
    recipe.backbone.per_task = true;
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
    drop(train(recipe, &path));
    let run = OpenRun::open(&path, false, None).unwrap();
    merge(&run, &out, true).unwrap();
    for task in &run.model.tasks {
        let name = format!("backbone.{}.safetensors", task.spec.name);
        let plain = file::load(&out.join(name)).unwrap().tensors;
        assert_eq!(plain["head.weight"].size()[0], task.spec.classes.len() as i64);
        assert!(plain.contains_key("fc_norm.weight"));
    }
}

#[test]
fn the_switch_is_written_where_it_is_set() {
    let _alone = alone();
    let text = recipe(&[LORA]).to_toml().unwrap();
    assert!(!text.contains("per_task ="), "{text}");
    let copies = copies(&[LORA]);
    let text = copies.to_toml().unwrap();
    assert!(text.contains("per_task = true"), "{text}");
    assert_eq!(Recipe::parse("copy", &text, &[]).unwrap(), copies);
    assert_eq!((copies.label(), recipe(&[FULL]).label()), ("lora per task".into(), "full".into()));
}

#[test]
fn stored_frozen_weights_take_the_runs_type() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (trainer, _) = Trainer::start(copies(&[LORA, "precision=bf16"]), None, &path).unwrap();
    trainer.model().store.for_each(|name, entry| {
        let kind = if entry.tensor.requires_grad() { Kind::Float } else { Kind::BFloat16 };
        assert!(entry.role == Role::Buffer || entry.tensor.kind() == kind, "{name}");
    });
}
