//! Tasks of one class per image in one space of labels, with EMTAL and its loss.
use crate::common::{Until, alone, classes, train};
use polyptych_adapters::Form;
use polyptych_engine::{
    DataSets, Model, OpenRun, ParameterSummary, Recipe, Trainer, evaluate, merge, time,
};
use polyptych_formats::file;
use polyptych_tensor::optim::decay_groups;
use polyptych_tensor::{Device, Kind};

/// The cut lies within fading, and between two writes to the bank of one class.
#[test]
fn a_run_in_two_parts_is_the_same_run() {
    let _alone = alone();
    for bank in ["two_slot", "ema"] {
        let set = format!("union.quality_retaining.bank=\"{bank}\"");
        let recipe = || classes(&[&set, "data.sampling=\"per_dataset\""]);
        let folder = tempfile::tempdir().unwrap();
        let (whole, _) = train(recipe(), &folder.path().join("whole"));
        let path = folder.path().join("parts");
        let (mut first, _) = Trainer::start(recipe(), None, &path).unwrap();
        assert!(!first.run(&mut Until { until: 3, ..Until::default() }).unwrap().finished);
        drop(first);
        let mut second = Trainer::resume(&path).unwrap();
        assert!(second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap().finished);
        let pairs = whole.model().store.tensors().into_iter().zip(second.model().store.tensors());
        pairs.for_each(|((name, a), (_, b))| assert!(a.equal(&b), "{bank}: {name} differs"));
        let memory = |run: &str| {
            let path = folder.path().join(run).join("checkpoints/step-00000008/memory.safetensors");
            file::load(&path).unwrap().tensors
        };
        let (whole, parts) = (memory("whole"), memory("parts"));
        assert!(whole.contains_key("quality_retaining.bank"));
        whole.iter().for_each(|(name, t)| assert!(t.equal(&parts[name]), "{bank}: {name}"));
    }
}

#[test]
fn the_merged_model_is_a_plain_classifier_of_the_union() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
    drop(train(classes(&[]), &path));
    let run = OpenRun::open(&path, false, None).unwrap();
    let report = merge(&run, &out, false).unwrap();
    assert!(report.kept.is_empty() && report.differences.len() == 2, "{report:?}");
    let merged = OpenRun::open(&out, false, None).unwrap();
    let loader = DataSets::open_eval(&run.recipe).unwrap();
    let scores = |run: &OpenRun| evaluate(&run.model, &loader, None, |_| ()).unwrap();
    let (before, after) = (scores(&run), scores(&merged));
    let names: Vec<&str> = before.tasks[0].scores.iter().map(|score| score.name).collect();
    assert_eq!(names, ["top1", "top5", "top1_within", "top5_within"]);
    assert_eq!(before.headlines(), after.headlines());
    let plain = file::load(&out.join("backbone.safetensors")).unwrap().tensors;
    assert_eq!(plain["head.weight"].size(), [12 + 16, 160]);
    assert_eq!(plain["head.bias"].size(), [12 + 16]);
    let numbers: usize = plain.values().map(|t| t.numel()).sum();
    let timm = classes(&["adapter={method=\"full\"}"]);
    assert_eq!(numbers as i64, ParameterSummary::of_recipe(&timm).unwrap().total().total);
    let timing = time(&run, 2, 2).unwrap();
    assert!(timing.merged_ms.is_some() && timing.adapted_ms.median > 0.0);
    assert!(time(&merged, 2, 2).unwrap_err().to_string().contains("found a merged model"));
}

#[test]
fn folding_before_the_router_has_faded_is_refused_with_the_difference() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, set, reason) in [
        ("early", "adapter.fading={start=0.5, end=1.0}", "the router has faded to 0.500 of 1"),
        ("kept", "adapter.keep_router=true", "the router stays"),
    ] {
        let path = folder.path().join(name);
        let (mut trainer, _) = Trainer::start(classes(&[set]), None, &path).unwrap();
        trainer.run(&mut Until { until: 6, ..Until::default() }).unwrap();
        let run = OpenRun::open(&path, false, None).unwrap();
        let message = merge(&run, &path.join("merged"), false).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("its outputs would change by 0."), "{message}");
        assert!(!path.join("merged").exists());
        assert_eq!(time(&run, 1, 1).unwrap().merged_ms, None);
    }
}

#[test]
fn evaluations_say_how_images_were_routed_and_when_tasks_peaked() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = classes(&["adapter.keep_router=true"]);
    let (mut trainer, _) = Trainer::start(recipe, None, &folder.path().join("run")).unwrap();
    let mut watch = Until { until: u64::MAX, ..Until::default() };
    trainer.run(&mut watch).unwrap();
    assert_eq!(watch.evaluations.len(), 2);
    for task in &watch.evaluations[1].1.tasks {
        let load = &task.observed["blocks.5.mlp.load"];
        assert_eq!(load.len(), 8);
        assert!((load.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let entropy = task.observed["blocks.0.mlp.entropy"][0];
        assert!(entropy > 0.0 && entropy <= 8f64.ln() + 1e-6, "{entropy}");
        let peak = task.peak.unwrap();
        let best = watch
            .evaluations
            .iter()
            .map(|(_, e)| e.tasks.iter().find(|t| t.task == task.task).unwrap().scores[0].value);
        assert_eq!(peak.value, best.fold(0.0, f64::max));
        assert_eq!(peak.epoch, peak.step as f64 / 5.0);
    }
    let names: Vec<&str> = watch.reports[0].losses.keys().map(String::as_str).collect();
    assert!(names.contains(&"quality_retaining"), "{names:?}");
}

#[test]
fn the_loss_needs_no_router_and_a_task_can_be_learnt_alone() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lora = "adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}";
    drop(train(classes(&[lora]), &folder.path().join("lora")));
    let mut birds = classes(&["train.steps=2"]);
    birds.tasks.retain(|name, _| name == "birds");
    let data = DataSets::open(&birds).unwrap();
    assert_eq!(data.train.dataset().len(), 12, "data without a label of the task stay closed");
    let (trainer, outcome) = train(birds, &folder.path().join("birds"));
    assert_eq!(trainer.model().tasks.len(), 1);
    assert_eq!(outcome.evaluation.unwrap().tasks[0].scores.len(), 2);
}

/// methods of EMTAL, section 17: of all that trains, biases of heads alone do not decay.
#[test]
fn factors_router_and_heads_train_and_all_but_the_heads_biases_decay() {
    let _alone = alone();
    let recipe = classes(&[]);
    let specs = DataSets::open(&recipe).unwrap().specs;
    let model = Model::new(&recipe, &specs, Form::Adapted, Device::Cpu).unwrap();
    let trainable = model.store.trainable();
    let of_method = |name: &str| name.contains("lora_") || name.starts_with("heads.");
    assert!(trainable.iter().all(|(name, _)| of_method(name)));
    let groups = decay_groups(trainable, 0.05);
    let plain = groups.iter().filter(|group| group.weight_decay == 0.0);
    let plain: Vec<&str> =
        plain.flat_map(|group| &group.params).map(|(name, _)| name.as_str()).collect();
    assert_eq!(plain, ["heads.birds.bias", "heads.flowers.bias"]);
}

fn refusal(recipe: Recipe) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let message = Trainer::start(recipe, None, &path).err().unwrap().to_string();
    assert!(!path.exists(), "{message} left a folder");
    message
}

#[test]
fn unions_that_cannot_be_are_refused() {
    let _alone = alone();
    for (set, expected) in [
        (
            "adapter.num_experts=7",
            "blocks.0.mlp.fc1: num_experts: expected a divisor of 640, found 7",
        ),
        (
            "union.quality_retaining.temperature=0.0",
            "temperature: expected a finite number above 0, found 0",
        ),
        (
            "adapter.router_temperature=0.0",
            "adapter.router_temperature: expected a finite number above 0, found 0",
        ),
        (
            "tasks.birds.weight=2.0",
            "classes: tasks.birds: expected weight 1 and no loss of its own: the union has both",
        ),
        ("union.label_smoothing=1.0", "label_smoothing: expected at least 0 and below 1, found 1"),
    ] {
        let message = refusal(classes(&[set]));
        assert!(message.contains(expected), "{set}: {message}");
    }
    let mut dense = crate::common::recipe(&[]);
    dense.union = classes(&[]).union;
    let expected = "tiny: union: expected a task of one class per image, found none";
    assert_eq!(refusal(dense), expected);
}

#[test]
fn a_bank_of_other_classes_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut trainer, _) = Trainer::start(classes(&[]), None, &path).unwrap();
    trainer.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    drop(trainer);
    let step = path.join("checkpoints/step-00000002");
    let mut memory = file::load(&step.join("memory.safetensors")).unwrap().tensors;
    let bank = memory["quality_retaining.bank"].narrow(0, 0, 27).to_kind(Kind::Float);
    memory.insert("quality_retaining.bank".into(), bank);
    let old = std::fs::read(step.join("memory.safetensors")).unwrap();
    file::save(&step.join("memory.safetensors"), &memory, [("format".into(), "pt".into())].into())
        .unwrap();
    let new = std::fs::read(step.join("memory.safetensors")).unwrap();
    let state = std::fs::read_to_string(step.join("state.json")).unwrap();
    std::fs::write(step.join("state.json"), state.replace(&sha256(&old), &sha256(&new))).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.contains("quality_retaining.bank: expected "), "{message}");
    assert!(message.contains("28") && message.contains("27"), "{message}");
}

fn sha256(content: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(content))
}
