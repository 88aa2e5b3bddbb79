//! Tasks about images and texts: they train, resume, merge, are measured and distilled, and what does
//! not fit is named.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::common::{Until, alone, train};
use polyptych_adapters::Form;
use polyptych_data::Batch;
use polyptych_engine::{
    DataSets, Inputs, Model, OpenRun, Ranks, Recipe, StagedRun, Trainer, evaluate, merge, to_tensor,
};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

const TEXT: &str = r#"
name = "retrieval"
description = "for tests"
seed = 3
device = "cpu"
precision = "fp32"

[backbone]
name = "vit_micro_patch8_128"
weights = "none"
drop_path_rate = 0.0

[adapter]
method = "lora"
r = 2
target_modules = ["qkv"]

[text]
name = "text_micro"
weights = "none"
tokenizer = "captioned_scenes"
adapter = { method = "lora", r = 2, target_modules = ["qkv"] }

[data]
img_size = [16, 16]
batch_size = 4
prefetch = 1
cache_mib = 16

[[data.train]]
dataset = "captioned_scenes"
seed = 0
split = "train"
len = 12
height = 16
width = 16

[[data.eval]]
dataset = "captioned_scenes"
seed = 0
split = "val"
len = 6
height = 16
width = 16

[tasks.caption]
weight = 1.0
head = { name = "embedding", embed_dim = 8 }

[tasks.category]
weight = 1.0
head = { name = "linear" }

[tasks.modified]
weight = 1.0
head = { name = "embedding", embed_dim = 8 }

[train]
steps = 6
eval_every = 6
save_every = 3
lr = 1e-2
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 2, cooldown_steps = 0, start_factor = 0.1, min_factor = 0.1 }
"#;

/// Six blocks, as the ViT has, so that the towers can meet.
const FAME: &str = "adapter={method=\"fame_vil\", bottleneck=4, fusion=[\"modified\"]}";
const FAME_TEXT: &str = "text.adapter={method=\"fame_vil\", bottleneck=4, train_tower=true}";

fn recipe(overrides: &[&str]) -> Recipe {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::parse("retrieval", TEXT, &overrides).unwrap()
}

fn fame(overrides: &[&str]) -> Recipe {
    recipe(&[&[FAME, FAME_TEXT][..], overrides].concat())
}

fn batch(recipe: &Recipe) -> Batch {
    DataSets::open_eval(recipe).unwrap().epoch(0, 0).unwrap().next().unwrap().unwrap()
}

fn model(recipe: &Recipe) -> Model {
    let specs = DataSets::open(recipe).unwrap().specs;
    Model::new(recipe, &specs, Form::Adapted, Device::Cpu).unwrap()
}

/// What every task says of the images and texts of `batch`.
fn outputs(model: &Model, batch: &Batch) -> Vec<Tensor> {
    let images = to_tensor(&batch.images, Device::Cpu);
    let texts = model.texts(batch).unwrap();
    no_grad(|| model.forward(Inputs { images: &images, texts: texts.as_ref() }, false)).unwrap()
}

fn tensors(model: &Model) -> BTreeMap<String, Tensor> {
    model.store.tensors().into_iter().collect()
}

fn resumed(recipe: impl Fn() -> Recipe, folder: &Path) {
    let (whole, _) = train(recipe(), &folder.join("whole"));
    let path = folder.join("parts");
    let (mut first, _) = Trainer::start(recipe(), None, &path).unwrap();
    assert!(!first.run(&mut Until { until: 4, ..Until::default() }).unwrap().finished);
    drop(first);
    let mut second = Trainer::resume(&path).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let found = tensors(second.model());
    for (name, expected) in tensors(whole.model()) {
        assert!(found[&name].equal(&expected), "{name}");
    }
}

#[test]
fn a_run_in_two_parts_is_the_same_run() {
    let _alone = alone();
    for recipe in [recipe, fame] {
        resumed(|| recipe(&[]), tempfile::tempdir().unwrap().path());
    }
}

#[test]
fn recalls_are_measured_and_a_merged_model_has_the_same() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (_, outcome) = train(recipe(&[]), &folder.path().join("run"));
    let evaluation = outcome.evaluation.unwrap();
    let names = |task: usize| -> Vec<&str> {
        evaluation.tasks[task].scores.iter().map(|score| score.name).collect()
    };
    assert_eq!(names(0), ["i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10"]);
    assert_eq!(names(2), ["r1", "r5", "r10"]);
    // Six images: all are among the first ten.
    assert_eq!(evaluation.tasks[0].scores[2].value, 100.0);
    let run = OpenRun::open(&folder.path().join("run"), false, None).unwrap();
    let merged = folder.path().join("merged");
    merge(&run, &merged, false).unwrap();
    let merged = OpenRun::open(&merged, false, None).unwrap();
    assert!(tensors(&merged.model).keys().all(|name| !name.contains("lora")));
    let batch = batch(&run.recipe);
    for (a, b) in outputs(&run.model, &batch).iter().zip(outputs(&merged.model, &batch)) {
        assert!(a.allclose(&b, 1e-4, 1e-4, false));
    }
    let loader = DataSets::open_eval(&run.recipe).unwrap();
    let again = evaluate(&merged.model, &loader, None, |_| {}).unwrap();
    assert_eq!(again.tasks[0].scores[0].value, evaluation.tasks[0].scores[0].value);
}

/// The towers meet for one task alone, and at the start add nothing.
#[test]
fn fusion_changes_the_fused_task_alone() {
    let _alone = alone();
    let recipe = fame(&[]);
    let (model, batch) = (model(&recipe), batch(&recipe));
    let before = outputs(&model, &batch);
    let fused = tensors(&model).into_iter().filter(|(name, _)| name.starts_with("fusion."));
    let ups: Vec<Tensor> =
        fused.filter(|(name, _)| name.contains("fame_up.")).map(|(_, t)| t).collect();
    assert_eq!(ups.len(), 6 * 4);
    no_grad(|| ups.iter().for_each(|up| drop(up.shallow_clone().normal_(0.0, 0.5))));
    let after = outputs(&model, &batch);
    let same = |task: usize| before[task].equal(&after[task]);
    assert_eq!([same(0), same(1), same(2)], [true, true, false]);
    let asked = |t: &Tensor| t.narrow(1, 8, 8);
    assert!(asked(&before[2]).equal(&asked(&after[2])), "what is asked for is an image alone");
}

/// Without adapters, fused or not, every task gives what the plain towers give.
#[test]
fn every_task_starts_as_the_plain_towers() {
    let _alone = alone();
    let plain = recipe(&["adapter={method=\"decoder_only\"}", "text.adapter={method=\"full\"}"]);
    let fused = fame(&[]);
    let (plain, fused, batch) = (model(&plain), model(&fused), batch(&plain));
    let values = tensors(&plain);
    no_grad(|| {
        for (name, tensor) in fused.store.tensors() {
            if let Some(value) = values.get(&name) {
                tensor.shallow_clone().copy_(value);
            }
        }
    });
    for (a, b) in outputs(&plain, &batch).iter().zip(outputs(&fused, &batch)) {
        assert!(a.allclose(&b, 1e-4, 1e-5, false));
    }
}

#[test]
fn a_teacher_draws_its_pupil_near() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teacher");
    let mut alone_of = recipe(&["adapter={method=\"full\"}"]);
    alone_of.tasks.retain(|name, _| name == "modified");
    let (teacher, _) = train(alone_of, &path);
    let distance = |overrides: &[&str], name: &str| {
        let (pupil, _) = train(recipe(overrides), &folder.path().join(name));
        let batch = batch(&recipe(&[]));
        let (own, said) = (outputs(pupil.model(), &batch), outputs(teacher.model(), &batch));
        (&own[2] - &said[0]).square().mean(Kind::Float).double_value(&[])
    };
    let by = |task: &str, weight: f64| {
        let path = path.display().to_string();
        format!("distil={{ teachers={{ {task}={path:?} }}, weight={weight}, features=0.0 }}")
    };
    let run = by("modified", 10.0);
    let (taught, untaught) = (distance(&[&run], "taught"), distance(&[], "untaught"));
    assert!(taught < 0.9 * untaught, "{taught} {untaught}");
    let message = refused(&recipe(&[&by("caption", 1.0)]), &folder.path().join("other"));
    let expected = "tasks.caption: expected the task for the tasks that it teaches, found none";
    assert!(message.ends_with(expected), "{message}");
}

/// What names a file with the values of a text tower, which are not those that the recipe's seed
/// draws, and those values.
fn with_weights(folder: &Path) -> (String, BTreeMap<String, Tensor>) {
    let drawn = tensors(&model(&recipe(&["seed=9"]))).into_iter();
    let tower = drawn.filter(|(name, _)| name.starts_with("text.") && !name.contains("lora_"));
    let (path, tower) = (folder.join("text.safetensors"), tower.collect());
    file::save(&path, &tower, HashMap::new()).unwrap();
    (format!("text.weights={:?}", path.display().to_string()), tower)
}

/// Trained as it is, and merged: what `text.weights` names is no later stage's.
#[test]
fn a_text_tower_goes_on_as_the_stage_before_left_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (weights, tower) = with_weights(folder.path());
    for (adapter, result, left) in [
        ("text.adapter={method=\"full\"}", "keep", "first"),
        ("text.adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}", "merge", "first/merged"),
    ] {
        let path = folder.path().join(result);
        let stages =
            format!("stage=[{{name=\"first\", result=\"{result}\"}}, {{name=\"second\"}}]");
        let recipe = recipe(&[&weights, adapter, &stages]);
        let mut run = StagedRun::create(Ranks::ALONE, &recipe, None, &path).unwrap();
        let mut first = run.open_stage(Ranks::ALONE, 0, &[]).unwrap().trainer;
        let qkv = "text.blocks.0.attn.qkv.weight";
        assert!(
            tensors(first.model())[qkv].equal(&tower[qkv]),
            "{result}: it begins with the file"
        );
        first.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        drop(first);
        run.finish_stage(Ranks::ALONE, 0).unwrap();
        let left = OpenRun::open(&path.join("stages").join(left), false, None).unwrap();
        let second = run.open_stage(Ranks::ALONE, 1, &[]).unwrap().trainer;
        let found = tensors(second.model());
        let of_text = |(name, _): &(String, Tensor)| name.starts_with("text.");
        for (name, expected) in tensors(&left.model).into_iter().filter(of_text) {
            assert!(found[&name].equal(&expected), "{result}: {name}");
        }
        assert!(!found[qkv].equal(&tower[qkv]), "{result}: it has trained");
    }
}

/// What a run's text tower has of another method is named; a model without a tower needs none of it.
#[test]
fn a_text_tower_of_another_method_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(train(recipe(&[]), &path));
    let run = format!("backbone.weights={:?}", path.display().to_string());
    let other = recipe(&[&run, "text.adapter={method=\"full\"}"]);
    let message = refused(&other, &folder.path().join("other"));
    let expected =
        "expected parameters of the recipe's method, found text.blocks.0.attn.qkv.lora_A";
    assert!(message.contains(expected), "{message}");
    assert!(
        message.contains(": set text.adapter as the run has it, or merge the run"),
        "{message}"
    );
    let mut images = recipe(&[&run]);
    images.tasks.retain(|name, _| name == "category");
    Trainer::start(images, None, &folder.path().join("images")).unwrap();
}

#[test]
fn rates_of_parameters_are_their_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let moved = |name: &str, overrides: &[&str]| {
        let (mut trainer, _) =
            Trainer::start(recipe(overrides), None, &folder.path().join(name)).unwrap();
        let copies = |trainer: &Trainer| -> BTreeMap<String, Tensor> {
            let all = tensors(trainer.model()).into_iter();
            all.map(|(name, tensor)| (name, tensor.detach().copy())).collect()
        };
        let before = copies(&trainer);
        trainer.run(&mut Until { until: 1, ..Until::default() }).unwrap();
        let after = copies(&trainer);
        move |name: &str| &after[name] - &before[name]
    };
    let plain = moved("plain", &[]);
    let scaled = moved("scaled", &["train.lr_scale={\"text.*lora_B*\"=4.0}"]);
    // Zero at the start, so that nothing decays.
    let (image, text) =
        ("backbone.blocks.0.attn.qkv.lora_B.weight", "text.blocks.0.attn.qkv.lora_B.weight");
    assert!(scaled(image).equal(&plain(image)));
    assert!(scaled(text).allclose(&(plain(text) * 4.0), 1e-5, 0.0, false));
    let message = |scales: &str| {
        let recipe = recipe(&[&format!("train.lr_scale={{{scales}}}")]);
        refused(&recipe, &folder.path().join("refused"))
    };
    assert!(message("\"*lora_C*\"=2.0").ends_with(
        "train.lr_scale: expected a pattern that fits the name of a parameter that trains, found \
         *lora_C*"
    ));
    let found = message("\"*lora_A*\"=2.0, \"text.*\"=2.0");
    assert!(
        found.contains(
            "expected one pattern for every parameter, found *lora_A* and text.* for text."
        )
    );
    let rate = Recipe::parse("r", TEXT, &["train.lr_scale={\"*lora_A*\"=0.0}".to_owned()]);
    let found = rate.unwrap_err().to_string();
    assert!(found.contains("train.lr_scale.*lora_A*: expected a finite number above 0"), "{found}");
}

fn refused(recipe: &Recipe, path: &Path) -> String {
    match Trainer::start(recipe.clone(), None, path) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let message = |recipe: &Recipe| refused(recipe, &folder.path().join("run"));
    let mut without = recipe(&[]);
    without.text = None;
    assert!(message(&without).contains("expected a text tower for the task caption, found none"));
    let empty = format!("text.tokenizer={:?}", folder.path().display().to_string());
    let found = message(&recipe(&[&empty]));
    assert!(
        found.contains("text.tokenizer") && found.contains("vocab.json and merges.txt"),
        "{found}"
    );
    let fusion = |task: &str| {
        let adapter = format!("adapter={{method=\"fame_vil\", bottleneck=4, fusion=[\"{task}\"]}}");
        message(&recipe(&[&adapter, FAME_TEXT]))
    };
    for task in ["caption", "modifed"] {
        let expected =
            format!("expected tasks of kind modified_retrieval (modified), found {task}");
        assert!(fusion(task).contains(&expected), "{}", fusion(task));
    }
    let swin = fame(&["backbone.name=swin_micro_patch4_window4_128", "data.img_size=[32, 32]"]);
    assert!(message(&swin).contains("expected a backbone of one resolution, such as a ViT"));
    let wrong_head = recipe(&["tasks.caption.head={name=\"linear\"}"]);
    assert!(message(&wrong_head).contains("expected a head for retrieval (`embedding`)"));
    let parsed = |key: &str| {
        let overrides = [key.to_owned()];
        Recipe::parse("retrieval", TEXT, &overrides)
            .and_then(|r| r.validate("r"))
            .unwrap_err()
            .to_string()
    };
    assert!(parsed("train.accumulate=2").contains("found parts of a batch"));
    assert!(parsed("balancer={loss={method=\"uncertainty\"}}").contains("balancer"));
}

const SCENES: &str =
    r#"data.train=[{dataset="scenes", seed=0, split="train", len=6, height=32, width=32}]"#;
const SCENES_EVAL: &str =
    r#"data.eval=[{dataset="scenes", seed=0, split="val", len=3, height=32, width=32}]"#;
const DENSE: &str = r#"tasks={semseg={weight=1.0, head={name="linear_probe"}}, depth={weight=1.0, head={name="linear_probe"}}}"#;

fn language(overrides: &[&str]) -> Recipe {
    let lv = "adapter={method=\"lv_adapter\", bottleneck=4, language=true, num_tokens=2}";
    let all = [&[SCENES, SCENES_EVAL, DENSE, lv, "data.img_size=[32, 32]"][..], overrides].concat();
    let overrides: Vec<String> = all.iter().map(|&text| text.to_owned()).collect();
    Recipe::parse("language", TEXT, &overrides).unwrap()
}

#[test]
fn levels_that_read_classes_resume() {
    let _alone = alone();
    resumed(|| language(&[]), tempfile::tempdir().unwrap().path());
}

/// What a task learns of its classes is its own, and at the start nothing is added.
#[test]
fn prompts_change_their_own_task_alone() {
    let _alone = alone();
    let recipe = language(&[]);
    let model = model(&recipe);
    let batch = batch(&recipe);
    let set = |name: &str| {
        let tensors = tensors(&model);
        no_grad(|| drop(tensors[name].shallow_clone().normal_(0.0, 0.5)));
    };
    let before = outputs(&model, &batch);
    set("language.lv_prompts.semseg");
    assert!(outputs(&model, &batch)[1].equal(&before[1]), "the levels begin without classes");
    (0..4).for_each(|level| set(&format!("language.levels.{level}.lv_context.weight")));
    let read = outputs(&model, &batch);
    set("language.lv_prompts.semseg");
    let other = outputs(&model, &batch);
    assert!(read[0].equal(&other[0]) && !read[1].equal(&other[1]));
}

#[test]
fn a_method_that_reads_classes_wants_a_text_tower() {
    let _alone = alone();
    let mut without = language(&[]);
    without.text = None;
    let folder = tempfile::tempdir().unwrap();
    let message = refused(&without, &folder.path().join("run"));
    assert!(message.contains("adapter.language: expected [text], whose tower reads"), "{message}");
}

/// The longest name among the classes has three tokens with its marks, or more.
#[test]
fn prompts_leave_room_for_the_names_of_classes() {
    let _alone = alone();
    let many = language(&["adapter.num_tokens=30"]);
    let folder = tempfile::tempdir().unwrap();
    let message = refused(&many, &folder.path().join("run"));
    assert!(message.starts_with("adapter.num_tokens: expected at most "), "{message}");
    assert!(message.ends_with("of the 32 that the text tower reads, found 30"), "{message}");
}
