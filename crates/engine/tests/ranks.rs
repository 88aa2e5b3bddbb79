//! Several processes train as one: over loopback, each on its part of every batch.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::methods::VIT;
use common::processes::{Asked, asked, run, run_well};
use common::{Until, alone, balanced, classes, recipe};
use polyptych_engine::{
    BalancerKind, DataSets, Evaluation, OpenRun, Ranks, Recipe, StepReport, TrainRecipe, Trainer,
    evaluate,
};
use polyptych_losses::balancers::BalancerConfig;
use serde_json::Value;

/// Nothing that each process draws for its own images; the last batch of an epoch is not whole.
const SAME: [&str; 8] = [
    "backbone.drop_path_rate=0.0",
    "tasks.depth.head={name=\"segformer\", embed_dim=8, dropout=0.0}",
    "data.batch_size=4",
    "data.train.0.len=10",
    "data.eval.0.len=5",
    "train.lr=1e-3",
    "train.sync_batch_norm=true",
    "train.save_every=1000",
];

/// Steps that processes and one process are compared over.
const STEPS: [&str; 2] = ["train.steps=20", "train.eval_every=20"];

fn dense(overrides: &[&str]) -> Recipe {
    recipe(&[&SAME, overrides].concat())
}

fn mtlora() -> &'static str {
    "adapter={method=\"mtlora\", r=4, r_per_task={depth=2, semseg=3}, lora_dropout=0.0}"
}

/// The recipes that are compared step by step.
fn cases() -> Vec<(&'static str, Recipe)> {
    let vit = [VIT[0], "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.0}"];
    let vmt = ["adapter={method=\"vmt_adapter\", bottleneck={fixed=4}}"];
    let apart = [
        "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.0}",
        "train.lr=1e-3",
    ];
    // Heads without statistics of batches, which would be those of the parts.
    let parted = without_union(classes(&[&STEPS[..], &apart].concat()));
    let in_parts = TrainRecipe { accumulate: 2, ..parted.train.clone() };
    vec![
        ("mtlora", dense(&[&STEPS[..], &[mtlora()]].concat())),
        // AdamW makes steps of rounding errors, which a whole random backbone amplifies.
        ("full", dense(&[&STEPS[..], &["adapter={method=\"full\"}", SGD]].concat())),
        ("vmt_adapter", dense(&[&STEPS[..], &vit, &vmt].concat())),
        ("emtal", classes(&[&STEPS[..], &["train.lr=1e-3"]].concat())),
        // Every image has a label of one task: some processes have none of a task.
        ("without labels", without_union(classes(&[&STEPS[..], &apart].concat()))),
        ("in parts", Recipe { train: in_parts, ..parted }),
        ("sgd", dense(&[&STEPS[..], &[mtlora(), SGD]].concat())),
    ]
}

/// Those for which a batch of 4 images is enough.
fn cases_of(size: usize) -> impl Iterator<Item = (&'static str, Recipe)> {
    cases().into_iter().filter(move |(_, recipe)| 4 / size >= recipe.train.accumulate)
}

const SGD: &str = "train.optimiser={name=\"sgd\", momentum=0.9, nesterov=false}";

fn without_union(recipe: Recipe) -> Recipe {
    Recipe { union: None, ..recipe }
}

fn go(ranks: &Ranks, recipe: Recipe, path: &Path) -> Until {
    let mut seen = Until { until: u64::MAX, ..Until::default() };
    let (mut trainer, _) = Trainer::start_among(ranks, recipe, None, path).unwrap();
    assert!(trainer.run(&mut seen).unwrap().finished);
    seen
}

/// The log of steps in a run's folder.
fn steps(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("grad_norm").is_some()).collect()
}

/// The largest relative difference of losses and lengths of gradients.
fn difference(expected: &[StepReport], found: &[Value]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let mut most: f64 = 0.0;
    for (one, other) in expected.iter().zip(found) {
        let one = serde_json::to_value(one).unwrap();
        for key in ["loss", "grad_norm"] {
            let (a, b) = (one[key].as_f64().unwrap(), other[key].as_f64().unwrap());
            most = most.max((a - b).abs() / a.abs().max(1e-3));
        }
        assert_eq!(
            one["losses"].as_object().unwrap().len(),
            other["losses"].as_object().unwrap().len()
        );
        for (task, a) in one["losses"].as_object().unwrap() {
            let b = &other["losses"][task];
            assert_eq!(a.is_null(), b.is_null(), "{task}");
            if let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) {
                most = most.max((a - b).abs() / a.abs().max(1e-3));
            }
        }
    }
    most
}

#[test]
fn processes_train_as_one() {
    let name = "processes_train_as_one";
    if let Some(Asked { ranks, folder, .. }) = asked() {
        for (case, recipe) in cases_of(ranks.size()) {
            go(&ranks, recipe, &folder.join(case));
        }
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for size in [2, 3] {
        let here = folder.path().join(size.to_string());
        run_well(name, "", size, &here);
        for (case, recipe) in cases_of(size) {
            // In parts there, and whole here.
            let train = TrainRecipe { accumulate: 1, ..recipe.train.clone() };
            let one = Recipe { train, ..recipe };
            let path = folder.path().join(format!("{case} of {size}"));
            let expected = go(&Ranks::alone(), one, &path);
            let found = steps(&here.join(case));
            let most = difference(&expected.reports, &found);
            println!("{case}, {size} processes: {most:.1e}");
            assert!(most < 1e-4, "{case}, {size} processes: {most:e}");
            assert_eq!(found[0]["ranks"]["world_size"], size);
        }
    }
}

/// Every balancer, and the optimiser that takes gradients apart.
#[test]
fn every_balancer_balances_the_gradients_of_all_processes() {
    let recipes = || {
        let listed = BalancerConfig::examples().into_iter().map(|config| {
            let lora = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.0}";
            let features = config.kind() == BalancerKind::Features;
            let method = if features { lora } else { mtlora() };
            (
                config.name(),
                dense(&["train.steps=4", "train.eval_every=4", method, &balanced(&config)]),
            )
        });
        let adatask = ["train.optimiser={name=\"adatask\"}", "train.steps=4", "train.eval_every=4"];
        let adatask = ("adatask", dense(&[&adatask[..], &[mtlora()]].concat()));
        listed.chain([adatask]).collect::<Vec<_>>()
    };
    if let Some(Asked { ranks, folder, .. }) = asked() {
        recipes()
            .into_iter()
            .for_each(|(name, recipe)| drop(go(&ranks, recipe, &folder.join(name))));
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = "every_balancer_balances_the_gradients_of_all_processes";
    run_well(name, "", 2, &folder.path().join("2"));
    let mut far = Vec::new();
    for (balancer, recipe) in recipes() {
        let expected = go(&Ranks::alone(), recipe, &folder.path().join(balancer));
        let most = difference(&expected.reports, &steps(&folder.path().join("2").join(balancer)));
        println!("{balancer}: {most:.1e}");
        if most > 1e-3 {
            far.push(format!("{balancer}: {most:e}"));
        }
    }
    assert!(far.is_empty(), "{}", far.join(", "));
}

/// Gradients overflow where labels of the heavy task are, and every process skips the step.
#[test]
fn processes_agree_on_what_overflows() {
    let name = "processes_agree_on_what_overflows";
    if let Some(Asked { ranks, folder, .. }) = asked() {
        let overflows = [
            "precision=\"fp16\"",
            "tasks.birds.weight=1e6",
            "train.steps=8",
            "train.eval_every=8",
            "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.0}",
        ];
        let recipe = without_union(classes(&overflows));
        let seen = go(&ranks, recipe, &folder.join("run"));
        let scales: Vec<_> =
            seen.reports.iter().map(|step| (step.skipped, step.loss_scale)).collect();
        assert!(scales.iter().any(|(skipped, _)| *skipped), "{scales:?}");
        ranks.agree("steps", &format!("{scales:?}")).unwrap();
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    run_well(name, "", 2, folder.path());
}

fn bytes(path: &Path, step: u64, file: &str) -> Vec<u8> {
    std::fs::read(path.join(format!("checkpoints/step-{step:08}")).join(file)).unwrap()
}

/// With all that is drawn: dropout, stochastic depth, augmentation.
#[test]
fn runs_of_as_many_processes_are_the_same_to_the_bit_and_go_on_with_fewer() {
    let recipe =
        || recipe(&["data.batch_size=4", "data.train.0.len=10", "train.sync_batch_norm=true"]);
    let until = |ranks: &Ranks, path: &Path, until: u64| {
        let (mut trainer, _) = match path.exists() {
            true => (Trainer::resume_among(ranks, path, &[]).unwrap().0, ()),
            false => (Trainer::start_among(ranks, recipe(), None, path).unwrap().0, ()),
        };
        trainer.run(&mut Until { until, ..Until::default() }).unwrap();
    };
    if let Some(Asked { ranks, folder, part }) = asked() {
        for step in part.split(' ') {
            let (run, stop) = step.split_once(':').unwrap();
            // All must see whether it is there before the first of them makes it.
            let path = folder.join(run);
            let there = ranks.any(path.exists()).unwrap();
            assert_eq!(there, path.exists());
            ranks.barrier().unwrap();
            until(&ranks, &path, stop.parse().unwrap());
        }
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = "runs_of_as_many_processes_are_the_same_to_the_bit_and_go_on_with_fewer";
    run_well(name, "one:99 other:4 other:99 fewer:2", 2, folder.path());
    let path = |run: &str| folder.path().join(run);
    for file in ["model.safetensors", "optimiser.safetensors"] {
        assert!(bytes(&path("one"), 6, file) == bytes(&path("other"), 6, file), "{file}");
    }
    // Two processes, one, and two again.
    until(&Ranks::alone(), &path("fewer"), 4);
    run_well(name, "fewer:99", 2, folder.path());
    assert_eq!(steps(&path("fewer")).len(), 6);
    let scores = |run: &str| -> Value {
        let text = std::fs::read_to_string(path(run).join("evaluation.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(scores("one"), scores("other"));
    // What processes have measured together, one measures to the last digit.
    let opened = OpenRun::open(&path("fewer"), false, None).unwrap();
    let eval = DataSets::open_eval(&opened.recipe).unwrap();
    let alone: Evaluation = evaluate(&opened.model, &eval, None, |_| ()).unwrap();
    let mut found = scores("fewer");
    let tasks = found["tasks"].as_array_mut().unwrap();
    tasks.iter_mut().for_each(|task| drop(task.as_object_mut().unwrap().remove("peak")));
    assert_eq!(alone.with_details()["tasks"], found["tasks"]);
}

#[test]
fn a_process_that_is_killed_ends_the_others_and_the_run_goes_on() {
    struct Kill(u64);
    impl polyptych_engine::Observer for Kill {
        fn step(&mut self, report: &StepReport, _: u64) {
            if report.step == self.0 {
                // As a kill does: no destructor, no word.
                std::process::abort();
            }
        }
        fn evaluated(&mut self, _: u64, _: &Evaluation) {}
        fn stop(&self) -> bool {
            false
        }
    }
    let recipe = || dense(&[mtlora(), "train.save_every=2"]);
    if let Some(Asked { ranks, folder, part }) = asked() {
        let path = folder.join("run");
        if part == "again" {
            let (mut trainer, _) = Trainer::resume_among(&ranks, &path, &[]).unwrap();
            assert_eq!(trainer.step(), 2);
            trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
            return;
        }
        let (mut trainer, _) = Trainer::start_among(&ranks, recipe(), None, &path).unwrap();
        let kill = if ranks.rank() == 1 { 3 } else { u64::MAX };
        let message = trainer.run(&mut Kill(kill)).unwrap_err().to_string();
        assert!(message.starts_with("rank 1 is gone, or silent for more than"), "{message}");
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let name = "a_process_that_is_killed_ends_the_others_and_the_run_goes_on";
    let outputs = run(name, "killed", 3, folder.path());
    for (rank, output) in outputs.iter().enumerate() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), rank != 1, "rank {rank}: {said}");
    }
    run_well(name, "again", 2, folder.path());
    assert_eq!(steps(&folder.path().join("run")).len(), 6);
}

#[test]
fn processes_that_cannot_train_together_are_refused() {
    if let Some(Asked { ranks, folder, part }) = asked() {
        let (overrides, expected) = match (part.as_str(), ranks.rank()) {
            ("differ", 0) => {
                (vec!["seed=3"], "recipe: rank 1 has `seed = 4`, rank 0 has `seed = 3`")
            }
            ("differ", _) => {
                (vec!["seed=4"], "recipe: rank 1 has `seed = 4`, rank 0 has `seed = 3`")
            }
            ("few", _) => (
                vec!["data.batch_size=1"],
                "data.batch_size: expected at least 2 images in a batch, 1 for each of 2 processes",
            ),
            // One of them alone has a mistake.
            (_, 1) => (vec!["backbone.weights=\"/no/such/file.pth\""], "/no/such/file.pth"),
            _ => (vec![], "rank 1 failed: "),
        };
        let path = folder.join(&part);
        let error = Trainer::start_among(&ranks, dense(&overrides), None, &path).err().unwrap();
        let message = error.to_string();
        // Both say it of themselves or of each other.
        assert!(message.contains(expected) || message.contains("failed: "), "{message}");
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for part in ["differ", "few", "mistake"] {
        run_well("processes_that_cannot_train_together_are_refused", part, 2, folder.path());
        assert!(!folder.path().join(part).exists(), "{part}");
    }
}
