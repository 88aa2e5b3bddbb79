//! Tasks one after the other: heads with tokens of their own, a memory of samples, a table of stages.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Until, alone, classes, train};
use crate::stages::{same, tensors, train_until};
use polyptych_engine::{Ranks, Recipe, StageTable, StagedRun, Trainer};
use polyptych_tensor::Tensor;

const HEADS: [&str; 2] = [
    "tasks.birds.head={name=\"task_attention\", diversity=0.5}",
    "tasks.flowers.head={name=\"task_attention\", diversity=0.5}",
];

/// Without a union, whose tasks share one space of labels.
fn recipe(more: &[&str]) -> Recipe {
    let lora = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}";
    let mut recipe = classes(&[&HEADS[..], &[lora, "train.eval_every=8"], more].concat());
    recipe.union = None;
    recipe
}

#[test]
fn a_memory_keeps_some_samples_of_old_tasks() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let replay = "replay={tasks=[\"birds\"], samples=3}";
    let (trainer, _) = Trainer::start(recipe(&[replay]), None, &path("some")).unwrap();
    drop(trainer);
    let data = polyptych_engine::DataSets::open(&recipe(&[replay])).unwrap();
    assert_eq!(data.train.dataset().parts(), [3, 8]);
    let message = |replay: &str| match Trainer::start(recipe(&[replay]), None, &path("refused")) {
        Ok(_) => panic!("{replay} was taken"),
        Err(e) => e.to_string(),
    };
    let said = message("replay={tasks=[\"birds\"], samples=13}");
    assert!(said.contains("replay.samples: expected at most the 12 samples of "), "{said}");
    let said = message("replay={tasks=[], samples=3}");
    assert!(
        said.contains("replay.tasks: expected all tasks of a data set of data.train, "),
        "{said}"
    );
    assert!(said.contains("(birds)") && said.contains("(flowers), found "), "{said}");
    for (replay, expected) in [
        ("{tasks=[\"birds\"], samples=0}", "replay.samples: expected at least 1, found 0"),
        ("{tasks=[\"cars\"], samples=1}", "replay.tasks: expected some of birds, flowers"),
    ] {
        let text = recipe(&[]).to_toml().unwrap();
        let replay = format!("replay={replay}");
        let said = Recipe::parse("r.toml", &text, &[replay]).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// Where no other parameter is shared, a task that joins changes no output of those before.
#[test]
fn a_task_that_joins_a_frozen_trunk_leaves_others_as_they_are() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let stages = "stage=[\
        {name=\"birds\", tasks=[\"birds\"]}, \
        {name=\"flowers\", set=[\"tasks.birds.weight=0.0\", \"train.weight_decay=0.0\", \
         \"tasks.birds.head.diversity=0.0\", \"tasks.flowers.head.diversity=0.0\"]}]";
    let frozen = recipe(&["adapter={method=\"decoder_only\"}", stages]);
    let mut run = StagedRun::create(Ranks::ALONE, &frozen, None, &path).unwrap();
    while let Some(index) = run.next() {
        let mut stage = run.open_stage(Ranks::ALONE, index, &[]).unwrap();
        stage.trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        drop(stage);
        run.finish_stage(Ranks::ALONE, index).unwrap();
    }
    // All that its outputs depend on is the same, so they are, bit for bit.
    let after: BTreeMap<String, Tensor> = tensors(&path).into_iter().collect();
    for (name, before) in tensors(&path.join("stages/birds")) {
        assert!(before.equal(&after[&name]), "{name}");
    }
    let table = StageTable::of_run(&path).unwrap();
    assert_eq!(table.stages, ["birds", "flowers"]);
    let birds = table.tasks.iter().find(|row| row.task == "birds").unwrap();
    assert_eq!(birds.forgetting(), Some(0.0));
    assert_eq!(birds.values[0], birds.values[1]);
    let flowers = table.tasks.iter().find(|row| row.task == "flowers").unwrap();
    assert_eq!((flowers.values[0], flowers.forgetting()), (None, None));
}

/// Everything of TAM-CL at once: tokens with their term, a memory of samples and a teacher, in the stage
/// that is cut.
#[test]
fn a_second_task_that_is_cut_goes_on_bit_for_bit() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let stages = r#"stage=[{ name = "birds", tasks = ["birds"] }, { name = "flowers", set = ["train.steps=7", 'replay={ tasks = ["birds"], samples = 5 }', 'distil={ weight = 0.5, teachers = { birds = "stage:birds" } }'] }]"#;
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    for path in [&whole, &cut] {
        drop(StagedRun::create(Ranks::ALONE, &recipe(&[stages]), None, path).unwrap());
    }
    let open = |path: &Path| StagedRun::open(Ranks::ALONE, path).unwrap();
    train_until(&mut open(&whole), (usize::MAX, 0));
    // At a checkpoint and between two.
    for until in [3, 5] {
        train_until(&mut open(&cut), (1, until));
        assert_eq!(open(&cut).next(), Some(1));
    }
    train_until(&mut open(&cut), (usize::MAX, 0));
    assert_eq!(open(&cut).next(), None);
    same(&whole, &cut);
    let log = std::fs::read_to_string(cut.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let steps: Vec<_> = lines.filter(|line| line["distillation"].is_number()).collect();
    assert_eq!(steps.len(), 7);
    assert!(steps.iter().all(|line| line["penalty"].as_f64().unwrap() > 0.0));
}

#[test]
fn tokens_of_tasks_have_a_term_of_their_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (trainer, _) = train(recipe(&[]), &path);
    let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let penalty = first["penalty"].as_f64().unwrap();
    assert!(penalty > 0.0 && penalty <= 0.5, "{penalty}");
    drop(trainer);
}
