//! Runs in stages: what each begins with, and that a cut changes nothing.
use std::path::Path;

use crate::common::{Until, alone, recipe};
use polyptych_engine::{OpenRun, Ranks, Recipe, StagedRun, Trainer, report};
use polyptych_tensor::Tensor;

const LORA: &str = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.1}";
const STAGES: &str = r#"stage=[
    { name = "adapt", tasks = ["depth"], set = ["train.steps=4"], result = "merge" },
    { name = "both", set = ["train.steps=3", "seed=5"], result = "drop" },
    { name = "finetune", set = ["adapter={method=\"full\"}", "train.lr=1e-4"], from = "adapt" },
]"#;

fn staged(extra: &[&str]) -> Recipe {
    let one_line = STAGES.replace('\n', " ");
    recipe(&[&[LORA, "train.save_every=2", &one_line][..], extra].concat())
}

/// Trains until all steps of all stages are done, or the stage at `until.0` has done `until.1`.
pub(crate) fn train_until(run: &mut StagedRun, until: (usize, u64)) {
    while let Some(index) = run.next() {
        let mut stage = run.open_stage(Ranks::ALONE, index, &[]).unwrap();
        let until = if index == until.0 { until.1 } else { u64::MAX };
        let outcome = stage.trainer.run(&mut Until { until, ..Until::default() }).unwrap();
        drop(stage);
        if !outcome.finished {
            return;
        }
        run.finish_stage(Ranks::ALONE, index).unwrap();
    }
}

pub(crate) fn tensors(path: &Path) -> Vec<(String, Tensor)> {
    OpenRun::open(path, false, None).unwrap().model.store.tensors()
}

pub(crate) fn same(one: &Path, two: &Path) {
    for ((name, one), (_, two)) in tensors(one).into_iter().zip(tensors(two)) {
        assert!(one.equal(&two), "{name}");
    }
}

#[test]
fn stages_begin_with_those_before_them_and_the_last_is_the_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut run = StagedRun::create(Ranks::ALONE, &staged(&[]), None, &path).unwrap();
    train_until(&mut run, (usize::MAX, 0));
    assert_eq!(run.next(), None);

    let stage = |name: &str| path.join("stages").join(name);
    let adapt = OpenRun::open(&stage("adapt"), false, None).unwrap();
    assert_eq!(adapt.recipe.task_names(), ["depth"]);
    let merged = stage("adapt").join("merged");
    let both = std::fs::read_to_string(stage("both").join("recipe.toml")).unwrap();
    assert!(both.contains(&format!("weights = \"{}\"", merged.display())), "{both}");
    assert!(!stage("both").join("checkpoints").exists(), "dropped");
    assert!(stage("both").join("evaluation.json").exists(), "what was measured stays");
    let last = OpenRun::open(&path, false, None).unwrap();
    assert_eq!((last.recipe.adapter.name(), last.recipe.train.steps), ("full", 6));
    for (path, name) in [(stage("adapt"), "adapt"), (path.clone(), "finetune")] {
        let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let of_stage = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["stage"] == name
        };
        assert!(log.lines().all(of_stage), "{log}");
    }
    let page = report(&[path], &polyptych_engine::ReportOptions { samples: 0, device: None });
    let html = page.unwrap().html;
    for name in ["adapt", "both", "run finetune"] {
        assert!(html.contains(name), "{name}");
    }
}

/// Cuts within a stage, behind its last step, while it is merged, and while the last one begins.
#[test]
fn a_run_that_is_cut_anywhere_is_the_same_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut run = StagedRun::create(Ranks::ALONE, &staged(&[]), None, &whole).unwrap();
    train_until(&mut run, (usize::MAX, 0));

    let path = folder.path().join("cut");
    let open = || StagedRun::open(Ranks::ALONE, &path).unwrap();
    drop(StagedRun::create(Ranks::ALONE, &staged(&[]), None, &path).unwrap());
    for until in [(0, 3), (0, 4)] {
        train_until(&mut open(), until);
        assert_eq!(open().next(), Some(0));
    }
    // What a cut leaves of merging, which is then done anew.
    let merged = path.join("stages/adapt/merged");
    std::fs::create_dir(&merged).unwrap();
    std::fs::write(merged.join("recipe.toml"), "").unwrap();
    train_until(&mut open(), (1, 1));
    assert_eq!(open().next(), Some(1));
    train_until(&mut open(), (2, 1));
    // The cut was behind the last stage's first file, before its recipe; and behind its recipe,
    // before its first checkpoint.
    for name in ["recipe.toml", "checkpoints"] {
        std::fs::remove_file(path.join(name))
            .or_else(|_| std::fs::remove_dir_all(path.join(name)))
            .unwrap();
        std::fs::create_dir_all(path.join("checkpoints")).unwrap();
        drop(open().open_stage(Ranks::ALONE, 2, &[]).unwrap());
    }
    train_until(&mut open(), (2, 5));
    // Behind the last step, before it was noted.
    let mut last = open().open_stage(Ranks::ALONE, 2, &[]).unwrap().trainer;
    last.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    drop(last);
    assert_eq!(open().next(), Some(2));
    train_until(&mut open(), (usize::MAX, 0));
    assert_eq!(open().next(), None);
    same(&whole, &path);
    same(&whole.join("stages/adapt"), &path.join("stages/adapt"));
}

/// The backbone stays while adapters and heads train; then it trains too, and begins where they ended.
#[test]
fn everything_trains_once_it_is_unfrozen() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let stages = "stage=[{name=\"adapt\"}, {name=\"finetune\", set=[\"backbone.unfreeze=true\"]}]";
    let mut run = StagedRun::create(Ranks::ALONE, &recipe(&[LORA, stages]), None, &path).unwrap();
    let mut first = run.open_stage(Ranks::ALONE, 0, &[]).unwrap().trainer;
    let of = |trainer: &Trainer| -> Vec<(String, Tensor)> {
        let all = trainer.model().store.tensors().into_iter();
        all.map(|(name, tensor)| (name, tensor.detach().copy())).collect()
    };
    let is_frozen = |name: &str| name.starts_with("backbone.") && !name.contains("lora_");
    let before = of(&first);
    first.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let adapted = of(&first);
    drop(first);
    for ((name, before), (_, after)) in before.iter().zip(&adapted) {
        assert!(!is_frozen(name) || before.equal(after), "{name}");
    }
    run.finish_stage(Ranks::ALONE, 0).unwrap();
    let mut second = run.open_stage(Ranks::ALONE, 1, &[]).unwrap().trainer;
    for ((name, expected), (_, found)) in adapted.iter().zip(of(&second)) {
        assert!(expected.equal(&found), "{name}");
    }
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let moved = |part: &str| {
        let pairs = adapted.iter().zip(of(&second));
        pairs
            .filter(|((name, _), _)| name.ends_with(part))
            .all(|((_, old), (_, new))| !old.equal(&new))
    };
    assert!(moved("qkv.weight") && moved("lora_B") && moved("patch_embed.proj.weight"));
}

#[test]
fn a_first_stage_that_cannot_start_leaves_nothing_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let absent = staged(&["backbone.weights=no/such.pth"]);
    let mut run = StagedRun::create(Ranks::ALONE, &absent, None, &path).unwrap();
    let message = run.open_stage(Ranks::ALONE, 0, &[]).err().unwrap().to_string();
    assert!(message.contains("no/such.pth"), "{message}");
    assert!(!path.exists());
    let message = Trainer::start(staged(&[]), None, &path).err().unwrap().to_string();
    assert!(message.contains("stage: expected one stage, found 3"), "{message}");
}

#[test]
fn mistakes_in_stages_are_named() {
    let _alone = alone();
    let text = recipe(&[LORA]).to_toml().unwrap();
    let message = |stages: &str| {
        let stages = format!("stage=[{stages}]");
        Recipe::parse("r.toml", &text, &[stages]).unwrap_err().to_string()
    };
    for (stages, expected) in [
        (r#"{name="a/b"}"#, "stage.0.name: expected letters, digits, - and _, found `a/b`"),
        (r#"{name="fresh"}"#, "stage.0.name: expected another name, found fresh"),
        (r#"{name="a"}, {name="a"}"#, "stage.1.name: expected every name once, found a twice"),
        (r#"{name="a", result="drop"}"#, "stage.0.result: expected keep for the last stage"),
        (
            r#"{name="a", result="prune"}"#,
            "stage.0.result: adapter.method: expected one that prunes, interrogate, found lora",
        ),
        (
            r#"{name="a", result="prune"}, {name="b"}"#,
            "stage.0.result: expected keep, merge or drop for a stage before the last, found prune",
        ),
        (r#"{name="a", from="b"}"#, "from: expected previous, fresh, the folder of a run, or an"),
        (r#"{name="a", tasks=["b"]}"#, "stage.0.tasks: expected some of depth, semseg, found b"),
        (
            r#"{name="a", tasks=["b"], set=["tasks.b.weight=0.5"]}"#,
            "stage.0.tasks: expected some of depth, semseg, found b",
        ),
        (r#"{name="a", set=["train.steps=0"]}"#, "train.steps: expected at least 1, found 0"),
        (
            r#"{name="a"}, {name="b", set=["backbone.weights=stage:c"]}"#,
            "stage:c: expected an earlier stage (a), found c",
        ),
        (r#"{name="a", setz=[]}"#, "stage.0.setz: expected one of name, set, tasks, from, result"),
    ] {
        let message = message(stages);
        assert!(message.contains(expected), "{message}");
    }
}
