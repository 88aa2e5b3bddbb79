//! Rule 4 of the design: `N + N` steps are `2 N` steps, bit for bit on the CPU.
use std::path::Path;

use crate::common::{Until, alone, recipe, train};
use polyptych_engine::{Recipe, TrainOutcome, Trainer};

const METHODS: [&[&str]; 7] = [
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
    &["adapter={method=\"polyhistor\", embedding_dim=8, rank=4}"],
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
        same(&whole, &second);
        let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let steps = log.lines().filter(|line| line.contains("grad_norm")).count();
        assert_eq!(steps, 6, "{method:?}");
    }
}

/// The last step is done then, but a run is finished only with its last evaluation.
#[test]
fn a_stop_after_the_last_step_leaves_measuring_to_the_resumed_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let measured = ["train.eval_every=3"];
    let (whole, expected) = train(recipe(&measured), &folder.path().join("whole"));
    let path = folder.path().join("stopped");
    let (mut first, _) = Trainer::start(recipe(&measured), None, &path).unwrap();
    let stopped = first.run(&mut Until { until: 6, ..Until::default() }).unwrap();
    assert!(!stopped.finished && stopped.step == 6);
    drop(first);
    let mut second = Trainer::resume(&path).unwrap();
    let found = second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    assert!(found.finished && found.step == 6);
    let score =
        |outcome: &TrainOutcome| outcome.evaluation.as_ref().unwrap().tasks[0].scores[0].value;
    assert_eq!(score(&found), score(&expected));
    same(&whole, &second);
}

#[test]
fn the_optimiser_sgd_resumes_too() {
    let _alone = alone();
    let sgd = "train.optimiser={name=\"sgd\", momentum=0.9, nesterov=true}";
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = train(recipe(&[sgd]), &folder.path().join("whole"));
    let path = folder.path().join("parts");
    stop_at(2, recipe(&[sgd]), &path);
    let mut second = Trainer::resume(&path).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    same(&whole, &second);
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    stop_at(2, recipe(&[]), &path);
    let other = recipe(&["seed=4"]).to_toml().unwrap();
    std::fs::write(path.join("recipe.toml"), other).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(
        message.contains("these settings differ from the run's: seed: expected 3, found 4; "),
        "{message}"
    );
    let (known, old) =
        (path.join("checkpoints/step-00000002/state.json"), recipe(&[]).to_toml().unwrap());
    let text = std::fs::read_to_string(&known).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["recipe"], old.as_str(), "a checkpoint knows its recipe");
}

#[test]
fn a_changed_file_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    stop_at(2, recipe(&[]), &path);
    let file = path.join("checkpoints/step-00000002/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.contains("model.safetensors: expected SHA-256 "), "{message}");
}

/// The newest checkpoint was cut or spoilt: the one before it leads to the same end.
#[test]
fn a_spoilt_checkpoint_costs_steps_and_nothing_else() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let every = || recipe(&["train.save_every=1"]);
    let (whole, _) = train(every(), &folder.path().join("whole"));
    let path = folder.path().join("parts");
    stop_at(4, every(), &path);
    let file = path.join("checkpoints/step-00000004/optimiser.safetensors");
    std::fs::write(&file, "").unwrap();
    let mut second = Trainer::resume(&path).unwrap();
    assert_eq!(second.step(), 3);
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    same(&whole, &second);
}

/// A cut before the first checkpoint leaves a run that starts over.
#[test]
fn a_run_without_a_checkpoint_starts_where_it_started() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = train(recipe(&[]), &folder.path().join("whole"));
    let path = folder.path().join("again");
    drop(Trainer::start(recipe(&[]), None, &path).unwrap());
    let mut again = Trainer::resume(&path).unwrap();
    again.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    same(&whole, &again);
}

/// A stop at a step that is measured too leaves the measuring to the resumed run.
#[test]
fn a_stop_takes_no_evaluation_away() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // Without the memory of the process, which stands beside an evaluation and is not the run's.
    let evaluations = |path: &Path| {
        let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let measured = lines.filter(|line: &serde_json::Value| line.get("evaluation").is_some());
        measured.map(|line| (line["step"].clone(), line["evaluation"].clone())).collect::<Vec<_>>()
    };
    let every = || recipe(&["train.eval_every=3"]);
    let whole = folder.path().join("whole");
    train(every(), &whole);
    for until in [3, 6] {
        let path = folder.path().join(format!("stopped-{until}"));
        let (mut first, _) = Trainer::start(every(), None, &path).unwrap();
        first.run(&mut Until { until, ..Until::default() }).unwrap();
        drop(first);
        let mut second = Trainer::resume(&path).unwrap();
        let mut observer = Until { until: u64::MAX, ..Until::default() };
        let outcome = second.run(&mut observer).unwrap();
        assert!(outcome.evaluation.is_some());
        assert_eq!(evaluations(&whole), evaluations(&path), "{until}");
    }
}

#[test]
fn a_second_trainer_is_kept_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut first, _) = Trainer::start(recipe(&[]), None, &path).unwrap();
    first.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    assert!(message.ends_with("expected no other trainer in this folder, found one at work"));
    drop(first);
    Trainer::resume(&path).unwrap();
}

#[test]
fn other_data_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    stop_at(2, recipe(&[]), &path);
    let state = path.join("checkpoints/step-00000002/state.json");
    let text = std::fs::read_to_string(&state).unwrap();
    std::fs::write(&state, text.replace("\"samples\":6", "\"samples\":7")).unwrap();
    let message = Trainer::resume(&path).err().unwrap().to_string();
    let expected = format!(
        "the data differ from the run's: data.train (scenes): images: expected 7, found 6; restore \
         the data or the manifest, or start a new run from these weights: train a recipe with \
         backbone.weights={}",
        path.display()
    );
    assert!(message.ends_with(&expected), "{message}");
}

/// Earlier versions recorded texts alone.
#[test]
fn a_run_of_an_earlier_version_goes_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    stop_at(2, recipe(&[]), &path);
    let state = path.join("checkpoints/step-00000002/state.json");
    let mut known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    let mut write = |data: &str| {
        known["data"] = data.into();
        std::fs::write(&state, known.to_string()).unwrap();
    };
    write("6 samples of scenes; 4 samples of scenes");
    let message = Trainer::resume(&path).err().unwrap().to_string();
    let expected = "data: expected 6 samples of scenes; 4 samples of scenes, found 6 samples of \
                    scenes; 3 samples of scenes; ";
    assert!(message.contains(expected), "{message}");
    write("6 samples of scenes; 3 samples of scenes");
    let mut second = Trainer::resume(&path).unwrap();
    assert!(second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap().finished);
}

/// Numbers that are not finite are skipped, end the run where they stay, and can be looked at.
#[test]
fn a_run_that_lost_its_numbers_is_replayed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (mut trainer, _) = Trainer::start(recipe(&["train.max_skipped=2"]), None, &path).unwrap();
    trainer.run(&mut Until { until: 3, ..Until::default() }).unwrap();
    let spoilt = trainer.model().store.trainable().into_iter().next_back().unwrap();
    let _ = polyptych_tensor::no_grad(|| spoilt.1.shallow_clone().fill_(f64::NAN));
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    let message = trainer.run(&mut observer).unwrap_err().to_string();
    drop(trainer);
    let expected = "step 5: loss or gradient was NaN or infinite for 2 steps in a row; the state \
                    before the last step is in ";
    assert!(message.starts_with(expected) && message.contains("`polyptych replay "), "{message}");
    assert_eq!(observer.reports.iter().filter(|report| report.skipped).count(), 1);
    let (met, recorded) = Trainer::replay(&path).unwrap();
    assert_eq!(recorded.step, 4);
    assert_eq!(recorded.samples.len(), 2);
    assert!(recorded.losses.values().any(|loss| loss.0.is_nan()));
    assert!(met.differences(&recorded).is_empty(), "{:?}", met.differences(&recorded));
    let message = Trainer::replay(folder.path()).unwrap_err().to_string();
    assert!(message.contains("step.json: "), "{message}");
}

/// Trains `recipe` in `path` and stops after `until` steps.
fn stop_at(until: u64, recipe: Recipe, path: &Path) {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    trainer.run(&mut Until { until, ..Until::default() }).unwrap();
}

fn same(whole: &Trainer, parts: &Trainer) {
    let tensors = |trainer: &Trainer| trainer.model().store.tensors();
    for ((name, a), (_, b)) in tensors(whole).into_iter().zip(tensors(parts)) {
        assert!(a.equal(&b), "{name} differs");
    }
}

#[test]
fn a_run_folder_is_not_written_twice() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(Trainer::start(recipe(&[]), None, &path).unwrap());
    let message = Trainer::start(recipe(&[]), None, &path).err().unwrap().to_string();
    assert!(
        message.contains("expected a new folder, found a run; continue it with --resume"),
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

/// A finished run goes on with more steps and another rate; what may not change is refused by name.
#[test]
fn a_finished_run_goes_on_with_more_steps() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(crate::common::train(recipe(&[]), &path));
    let set = |overrides: &[&str]| -> Vec<String> {
        overrides.iter().map(|&text| text.to_owned()).collect()
    };
    let refused = |overrides: &[&str]| {
        Trainer::resume_with(&path, &set(overrides)).err().unwrap().to_string()
    };
    let message = refused(&["train.steps=8", "seed=5", "adapter.r=8"]);
    assert!(
        message.contains("seed: expected 3, found 5; adapter.r: expected 4, found 8; "),
        "{message}"
    );
    let message = refused(&["train.steps=5", "train.eval_every=5"]);
    assert!(
        message.ends_with("train.steps: expected at least the 6 that are done, found 5"),
        "{message}"
    );

    let more = set(&["train.steps=9", "train.lr=0.005"]);
    let (mut trainer, changes) = Trainer::resume_with(&path, &more).unwrap();
    let changed: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["train.steps 6 -> 9", "train.lr 0.01 -> 0.005"]);
    let mut watch = Until { until: 8, ..Until::default() };
    assert!(!trainer.run(&mut watch).unwrap().finished);
    drop(trainer);
    let steps: Vec<u64> = watch.reports.iter().map(|report| report.step).collect();
    assert_eq!(steps, [7, 8]);
    assert!(watch.reports[0].lr < 0.005, "the schedule is that of 9 steps");
    let mut trainer = Trainer::resume(&path).unwrap();
    assert_eq!(trainer.recipe().train.steps, 9, "the folder has the new recipe");
    assert!(trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap().finished);
    drop(trainer);
    let run = polyptych_engine::OpenRun::open(&path, true, None);
    assert!(run.is_ok(), "checkpoints from before the change are the run's");
}
