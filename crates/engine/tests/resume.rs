//! Rule 4 of the design: `N + N` steps are `2 N` steps, bit for bit on the CPU.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Until, alone, recipe, train};
use polyptych_engine::Trainer;

const METHODS: [&[&str]; 6] = [
    &["adapter.scale=2.0"],
    &[
        "adapter={method=\"mtlora\", r=2, shared_mode=\"matrixv2\", downsampler=true, learnable_scale=true}",
    ],
    &["adapter={method=\"lora\", r=2, target_modules=[\"q\", \"v\", \"fc1\"], lora_dropout=0.1}"],
    &["adapter={method=\"full\"}"],
    &["adapter={method=\"decoder_only\"}"],
    &[
        "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.1}",
        "backbone.per_task=true",
    ],
];

/// The cut lies within the second of two epochs, so order and augmentation must go on too.
#[test]
fn a_run_in_two_parts_is_the_same_run() {
    let _alone = alone();
    for method in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let (whole, _) = train(recipe(method), &folder.path().join("whole"));
        let path = folder.path().join("parts");
        let (mut first, _) = Trainer::start(recipe(method), None, &path).unwrap();
        let stopped = first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
        assert!(!stopped.finished);
        drop(first);
        let mut second = Trainer::resume(&path).unwrap();
        let finished = second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        assert!(finished.finished);
        for ((name, a), (_, b)) in
            whole.model().store.tensors().into_iter().zip(second.model().store.tensors())
        {
            assert!(a.equal(&b), "{method:?}: {name} differs");
        }
        let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let steps = log.lines().filter(|line| line.contains("grad_norm")).count();
        assert_eq!(steps, 6, "{method:?}");
    }
}

#[test]
fn the_optimiser_sgd_resumes_too() {
    let _alone = alone();
    let sgd = "train.optimiser={name=\"sgd\", momentum=0.9, nesterov=true}";
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = train(recipe(&[sgd]), &folder.path().join("whole"));
    let path = folder.path().join("parts");
    let (mut first, _) = Trainer::start(recipe(&[sgd]), None, &path).unwrap();
    first.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    let mut second = Trainer::resume(&path).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let pairs = whole.model().store.tensors().into_iter().zip(second.model().store.tensors());
    pairs.for_each(|((name, a), (_, b))| assert!(a.equal(&b), "{name} differs"));
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut trainer, _) = Trainer::start(recipe(&[]), None, &path).unwrap();
    trainer.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    let other = recipe(&["seed=4"]).to_toml().unwrap();
    std::fs::write(path.join("recipe.toml"), other).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.contains("expected a checkpoint of recipe.toml with SHA-256 "), "{message}");
}

#[test]
fn a_changed_file_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut trainer, _) = Trainer::start(recipe(&[]), None, &path).unwrap();
    trainer.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    let file = path.join("checkpoints/step-00000002/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.contains("model.safetensors: expected SHA-256 "), "{message}");
}

#[test]
fn a_run_folder_is_not_written_twice() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let first = Trainer::start(recipe(&[]), None, &path).unwrap();
    drop(first);
    let message = Trainer::start(recipe(&[]), None, &path).err().unwrap().to_string();
    assert!(
        message.contains("expected a new folder, found a run; go on with --resume"),
        "{message}"
    );
}

/// A run that fails removes its folder, so it must not begin in one with other people's files.
#[test]
fn a_folder_with_other_files_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("thesis.txt");
    std::fs::write(&file, "years").unwrap();
    let message = Trainer::start(recipe(&[]), None, folder.path()).err().unwrap().to_string();
    let expected = "expected a new or an empty folder, found one that holds other files";
    assert!(message.ends_with(expected), "{message}");
    assert!(file.exists());
    let message = Trainer::start(recipe(&[]), None, &file).err().unwrap().to_string();
    assert!(message.contains("thesis.txt: "), "{message}");
    assert!(file.exists());
}
