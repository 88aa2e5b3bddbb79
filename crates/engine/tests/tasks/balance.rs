//! Balancers do what their weights say, and what they cannot balance is named.
//!
//! That every one of them trains and goes on bit for bit is tested beside the methods, in `every.rs`.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Until, alone, balanced, classes, recipe, train, try_recipe};
use polyptych_engine::{MeanConflict, ParameterSummary, Recipe, Trainer};
use polyptych_losses::balancers::BalancerConfig;
use polyptych_tensor::{Kind, Tensor};

const QUICK: [&str; 5] = [
    "train.steps=4",
    // Runs save where they end, or are stopped.
    "train.save_every=100",
    "train.schedule.warmup_steps=1",
    "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.1}",
    "data.eval.0.len=1",
];

fn quick(extra: &[&str]) -> Recipe {
    recipe(&[&QUICK[..], extra].concat())
}

/// Features that all tasks read, with factors that all tasks share.
const COMMON: &str = "adapter={method=\"lora\", r=4, target_modules=\"all-linear\"}";

fn stop_at(recipe: Recipe, path: &Path, until: u64) -> (Trainer, Until) {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    let mut observer = Until { until, ..Until::default() };
    trainer.run(&mut observer).unwrap();
    (trainer, observer)
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
}

fn same(one: &Trainer, other: &Trainer, what: &str) {
    for ((name, a), (_, b)) in tensors(one).into_iter().zip(tensors(other)) {
        assert!(a.equal(&b), "{what}: {name} differs");
    }
}

/// One image per step.
const PARTLY: [&str; 4] =
    ["data.batch_size=1", "train.steps=5", "train.eval_every=5", "train.save_every=100"];

/// Also over batches in which a task has no label: images come one by one.
#[test]
fn equal_weights_are_the_plain_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let weighted = "tasks.depth.weight=0.3";
    let partly = || Recipe { union: None, ..classes(&PARTLY) };
    let dense = || recipe(&[&QUICK[..], &[weighted]].concat());
    for (index, plain) in [dense(), partly()].into_iter().enumerate() {
        let at = |name: &str| folder.path().join(format!("{name}{index}"));
        let (expected, _) = train(plain.clone(), &at("plain"));
        let empty = Recipe { balancer: Some(Default::default()), ..plain.clone() };
        same(&expected, &train(empty, &at("empty")).0, "[balancer]");
        let ew = ["balancer={loss={name=\"ew\"}}", "train.conflict_every=1"].map(str::to_owned);
        let text = plain.to_toml().unwrap();
        let ew = Recipe::parse("ew", &text, &ew).unwrap();
        same(&expected, &train(ew, &at("ew")).0, "ew with conflict");
    }
}

/// What the balancer of the run in `path` remembered after `step`, by name.
fn remembered(path: &Path, step: u64, name: &str) -> Vec<f64> {
    let path = path.join(format!("checkpoints/step-{step:08}/memory.safetensors"));
    let tensors = polyptych_formats::file::load(&path).unwrap().tensors;
    Vec::try_from(tensors[name].to_kind(Kind::Double)).unwrap()
}

/// The first step of SGD shows the gradient: `p - p' = lr * d`.
fn first_gradient(recipe: Recipe) -> BTreeMap<String, Tensor> {
    let folder = tempfile::tempdir().unwrap();
    let (mut trainer, _) = Trainer::start(recipe, None, &folder.path().join("run")).unwrap();
    let before = tensors(&trainer);
    trainer.run(&mut Until { until: 1, ..Until::default() }).unwrap();
    let trained = trainer.model().store.trainable().into_iter();
    trained.map(|(name, p)| (name.clone(), &before[&name] - p.detach())).collect()
}

/// Both tasks' gradients by plain runs in which the other one counts nothing, combined by hand.
#[test]
fn the_combined_gradient_is_the_weighted_sum_of_rows() {
    let _alone = alone();
    let of = |extra: &[&str]| {
        first_gradient(recipe(&[&QUICK[..2], &QUICK[3..], &SGD[..], extra].concat()))
    };
    let rows = [of(&["tasks.semseg.weight=0"]), of(&["tasks.depth.weight=0"])];
    // Heads and the factors of one task.
    let private = |name: &str| name.contains("semseg") || name.contains("depth");
    let dot = |a: usize, b: usize| -> f64 {
        let shared = rows[0].keys().filter(|name| !private(name));
        shared
            .map(|name| (&rows[a][name] * &rows[b][name]).sum(Kind::Double).double_value(&[]))
            .sum()
    };
    let gram = [dot(0, 0), dot(0, 1), dot(1, 1)];
    // The shortest vector between two rows; see Sener and Koltun, equation 5.
    let share = ((gram[2] - gram[1]) / (gram[0] + gram[2] - 2.0 * gram[1])).clamp(0.0, 1.0);
    let along = |a: f64, b: f64| a - b.min(0.0);
    let (p0, p1) = (along(1.0, gram[1] / gram[0]), along(1.0, gram[1] / gram[2]));
    for (name, factors, unit) in [("mgda", [share, 1.0 - share], false), ("pcgrad", [p0, p1], true)]
    {
        let found = of(&[&format!("balancer={{gradient={{name=\"{name}\"}}}}")]);
        for (param, d) in found {
            let own = |row: usize, factor: f64| &rows[row][&param] * factor;
            let [a, b] = if unit && private(&param) { [1.0, 1.0] } else { factors };
            let expected = own(0, a) + own(1, b);
            let worst = (d - &expected).abs().max().double_value(&[]);
            let size = expected.abs().max().double_value(&[]);
            assert!(worst <= 1e-4 * size + 1e-6, "{name}: {param}: {worst} of {size}");
        }
    }
}

/// With one image per step one of two tasks never has a label.
#[test]
fn tasks_without_labels_are_left_out() {
    let _alone = alone();
    let text = Recipe { union: None, ..classes(&PARTLY) };
    let listed = BalancerConfig::examples();
    let adatask = ("adatask", "train.optimiser={name=\"adatask\"}".to_owned());
    let all = listed.iter().map(|config| (config.name(), balanced(config))).chain([adatask]);
    for (name, setting) in all {
        let recipe = Recipe::parse("partly", &text.to_toml().unwrap(), &[setting]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (_, observer) = stop_at(recipe, &folder.path().join("run"), 5);
        assert!(
            observer.reports.iter().all(|r| r.loss.unwrap().is_finite() && !r.skipped),
            "{name}"
        );
        let empty =
            |task: &str| observer.reports.iter().filter(|r| r.losses[task].is_none()).count();
        assert_eq!(empty("birds") + empty("flowers"), 5, "{name}");
        assert!(empty("birds") > 0 && empty("flowers") > 0, "the draw has both kinds of batch");
    }
}

#[test]
fn one_task_has_nothing_to_combine() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let single = |extra: &[&str]| {
        let mut recipe = recipe(&[&QUICK[..], extra].concat());
        recipe.tasks.remove("depth");
        Recipe::parse("single", &recipe.to_toml().unwrap(), &["adapter={method=\"full\"}".into()])
            .unwrap()
    };
    let (plain, _) = train(single(&[]), &folder.path().join("plain"));
    for name in ["pcgrad", "nash_mtl", "moco"] {
        let setting = format!("balancer={{gradient={{name=\"{name}\"}}}}");
        let combined = single(&[&setting, "train.conflict_every=1"]);
        let (combined, _) = train(combined, &folder.path().join(name));
        same(&plain, &combined, name);
    }
}

#[test]
fn combiners_need_shared_parameters() {
    let _alone = alone();
    let setting = "balancer={gradient={name=\"pcgrad\"}}";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let recipe = recipe(&[&QUICK[..], &[setting, "adapter={method=\"decoder_only\"}"]].concat());
    let (mut trainer, _) = Trainer::start(recipe.clone(), None, &path).unwrap();
    let message = trainer.run(&mut Until::default()).unwrap_err().to_string();
    let expected =
        "tiny: balancer.gradient: expected parameters shared by at least two tasks, found none";
    assert!(message.starts_with(expected), "{message}");
    assert!(!path.exists());
}

#[test]
fn bad_recipes_are_named() {
    let _alone = alone();
    let message = |setting: &str| try_recipe(&[setting]).unwrap_err().to_string();
    for (setting, expected) in [
        ("balancer={loss={name=\"pcgrad\"}}", "balancer.loss: expected a balancer of kind loss"),
        (
            "balancer={gradient={name=\"uw\"}}",
            "balancer.gradient: expected a balancer of kind gram",
        ),
        ("balancer={gradient={name=\"best\"}}", "balancer.gradient.name: expected one of "),
        ("train.conflict_every=0", "train.conflict_every: expected at least 1, found 0"),
        (
            "balancer={conflict_every=1}",
            "balancer.conflict_every: expected one of loss, gradient, private_grad, found",
        ),
        ("balancer={private_grad=\"unit\"}", "balancer.private_grad: expected none without"),
        ("balancer={loss={name=\"uw\", lr=0}}", "balancer.lr: expected a finite number above 0"),
        ("balancer={los={name=\"uw\"}}", "found los: did you mean loss?"),
        (
            "balancer={loss={name=\"auto_lambda\", primary=[\"sky\"]}}",
            "balancer.loss.primary: expected some of depth, semseg, found sky",
        ),
        (
            "balancer={loss={name=\"gradnorm\"}, gradient={name=\"mgda_ub\"}}",
            "balancer.loss: expected a loss weighting that needs no gradient norms, found gradnorm: mgda_ub ",
        ),
    ] {
        let message = message(setting);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    for (settings, expected) in [
        (
            ["balancer={gradient={name=\"mgda_ub\"}}", "train.conflict_every=1"],
            "train.conflict_every: expected none, found one: mgda_ub computes",
        ),
        (
            ["balancer={gradient={name=\"pcgrad\"}}", "train.optimiser={name=\"adatask\"}"],
            "balancer.gradient: expected none beside train.optimiser adatask",
        ),
        (
            [
                "balancer={loss={name=\"auto_lambda\", primary=[\"depth\"]}}",
                "train.lr_scale={\"heads.*\"=2.0}",
            ],
            "train.lr_scale: expected none beside auto_lambda, which looks a step ahead",
        ),
    ] {
        let message = try_recipe(&settings).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    let joined = classes(&[]).to_toml().unwrap();
    let setting = "balancer={loss={name=\"uw\"}}".to_owned();
    let message = Recipe::parse("classes", &joined, &[setting]).unwrap_err().to_string();
    assert!(message.starts_with("classes: balancer: expected no [union] beside it"), "{message}");
    // Names are keys: a second task or balancer of one name is no TOML.
    let text = quick(&["balancer={loss={name=\"uw\"}}"]).to_toml().unwrap();
    for table in ["[balancer.loss]\nname = \"dwa\"\n", "[tasks.depth]\nweight = 2.0\n"] {
        let message = Recipe::parse("twice", &format!("{text}\n{table}"), &[]).unwrap_err();
        assert!(message.to_string().contains("duplicate key"), "{message}");
    }
    assert_eq!(Recipe::parse("copy", &text, &[]).unwrap().to_toml().unwrap(), text);
}

const SGD: [&str; 5] = [
    "train.optimiser={name=\"sgd\", momentum=0.9, nesterov=false}",
    "train.weight_decay=0.0",
    "train.clip_grad_norm=1e9",
    "train.schedule.warmup_steps=0",
    "train.lr=1.0",
];

/// Passes that are cut in front of the heads make the gradient that whole passes make.
#[test]
fn features_carry_the_weighted_sum_into_the_trunk() {
    let _alone = alone();
    let of = |extra: &[&str]| {
        first_gradient(recipe(&[&QUICK[..2], &QUICK[3..], &SGD[..], &[COMMON], extra].concat()))
    };
    let rows = [of(&["tasks.semseg.weight=0"]), of(&["tasks.depth.weight=0"])];
    for extra in ["", ", rows=\"sum\""] {
        let found = of(&[&format!("balancer={{gradient={{name=\"mgda_ub\"{extra}}}}}")]);
        // The heads tell the weights: rows[0] is depth's gradient, rows[1] that of semseg.
        let weight = |row: usize, task: &str| {
            let own = |(name, _): &(&String, &Tensor)| name.contains(&format!("heads.{task}"));
            let (name, d) = found
                .iter()
                .filter(own)
                .max_by(|a, b| {
                    let size = |t: &Tensor| t.abs().max().double_value(&[]);
                    size(a.1).total_cmp(&size(b.1))
                })
                .unwrap();
            (d * &rows[row][name]).sum(Kind::Double).double_value(&[])
                / rows[row][name].square().sum(Kind::Double).double_value(&[])
        };
        let weights = [weight(0, "depth"), weight(1, "semseg")];
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-4, "{weights:?}");
        assert!(weights.iter().all(|w| *w > 1e-3), "both tasks count: {weights:?}");
        for (param, d) in found {
            let expected = &rows[0][&param] * weights[0] + &rows[1][&param] * weights[1];
            let worst = (d - &expected).abs().max().double_value(&[]);
            let size = expected.abs().max().double_value(&[]);
            assert!(worst <= 1e-3 * size + 1e-6, "{param}: {worst} of {size}");
        }
    }
}

#[test]
fn a_factor_on_a_loss_does_not_change_adatask() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, extra: &[&str]| {
        let base = ["train.optimiser={name=\"adatask\", eps=1e-30}", "train.clip_grad_norm=1e9"];
        train(quick(&[&base, extra].concat()), &folder.path().join(name)).0
    };
    // A power of two, so that not even the rounding differs.
    let (plain, scaled) = (run("plain", &[]), run("scaled", &["tasks.depth.weight=1024"]));
    same(&plain, &scaled, "adatask");
    // Clipping is one factor for all tasks, which the first step of Adam cannot feel.
    let first = |name: &str, extra: &[&str]| {
        let eps = "train.optimiser={name=\"adatask\", eps=1e-15}";
        let recipe = quick(&[&[eps, "train.weight_decay=0.0"], extra].concat());
        tensors(&stop_at(recipe, &folder.path().join(name), 1).0)
    };
    let (whole, clipped) = (first("whole", &[]), first("clipped", &["train.clip_grad_norm=0.1"]));
    for (name, t) in &whole {
        let gap = (t - &clipped[name]).abs().max().double_value(&[]);
        assert!(gap <= 1e-6, "{name}: {gap}");
    }
    let adamw = run("adamw", &["train.optimiser={name=\"adamw\", betas=[0.9, 0.999], eps=1e-30}"]);
    let (plain, adamw) = (tensors(&plain), tensors(&adamw));
    let apart = |(name, t): (&String, &Tensor)| (t - &adamw[name]).abs().max().double_value(&[]);
    assert!(plain.iter().map(apart).fold(0.0, f64::max) > 1e-2);
}

#[test]
fn weights_are_learnt_from_norms_and_second_batches() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, extra, start) in [
        ("gradnorm", "", 1.0),
        ("gradnorm", ", over=\"all\", form=\"softmax\"", 1.0),
        ("auto_lambda", ", primary=[\"depth\"]", 0.1),
    ] {
        let path = folder.path().join(format!("{name}{}", extra.len()));
        let balancer = format!("balancer={{loss={{name=\"{name}\"{extra}}}}}");
        // Without chance, so that a step is judged by what it does.
        let certain = ["backbone.drop_path_rate=0.0", "adapter.lora_dropout=0.0"];
        train(quick(&[&balancer, certain[0], certain[1]]), &path);
        let values = remembered(&path, 4, "loss.value");
        assert!(values.iter().all(|v| v.is_finite() && *v != start), "{name}: {values:?}");
        if name == "auto_lambda" {
            assert!(values[0] > 0.1, "the primary task helps itself: {values:?}");
        }
    }
}

#[test]
fn three_batches_decide_otherwise_than_one() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = |batches: u32| {
        let setting = format!("balancer={{gradient={{name=\"sdmgrad\", batches={batches}}}}}");
        let recipe = quick(&[&setting]);
        let buffer = ParameterSummary::of_recipe(&recipe).unwrap().gradient_buffer.unwrap();
        assert_eq!(buffer.bytes, i64::from(batches) * 2 * buffer.shared * 4);
        tensors(&train(recipe, &folder.path().join(batches.to_string())).0)
    };
    let (one, three) = (run(1), run(3));
    assert!(one.iter().any(|(name, t)| !t.equal(&three[name])));
}

#[test]
fn features_of_one_task_are_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let recipe = quick(&["balancer={gradient={name=\"mgda_ub\"}}"]);
    let (mut trainer, _) = Trainer::start(recipe, None, &folder.path().join("run")).unwrap();
    let message = trainer.run(&mut Until::default()).unwrap_err().to_string();
    let expected =
        "tiny: balancer.gradient: expected features that all tasks share, found features";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn conflict_is_logged_at_its_interval() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut recipe = quick(&["balancer={gradient={name=\"pcgrad\"}}"]);
    recipe.train.conflict_every = Some(2);
    let buffer = ParameterSummary::of_recipe(&recipe).unwrap().gradient_buffer.unwrap();
    train(recipe, &path);
    let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let measured: Vec<_> = lines.filter(|line| line["conflict"].is_object()).collect();
    let steps: Vec<_> = measured.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [2, 4]);
    let groups = measured[0]["conflict"]["groups"].as_array().unwrap();
    let names: Vec<_> = groups.iter().map(|group| group["group"].as_str().unwrap()).collect();
    assert_eq!(names[0], "all");
    assert!(names.contains(&"layers.0") && names.contains(&"layers.3"), "{names:?}");
    let sizes: Vec<i64> = groups.iter().map(|g| g["parameters"].as_i64().unwrap()).collect();
    assert_eq!(sizes[0], sizes[1..].iter().sum::<i64>());
    assert_eq!((buffer.tasks, buffer.shared, buffer.bytes), (2, sizes[0], 2 * sizes[0] * 4));
    let mean = MeanConflict::of_run(&path).unwrap();
    assert_eq!((mean.count, mean.groups.len()), (2, names.len()));
    let matrix = &mean.groups[0].1;
    assert!(matrix[0][1].unwrap().abs() <= 1.0 && (matrix[0][0].unwrap() - 1.0).abs() < 1e-9);
}

/// Without a balancer too; the log has `null`, and a step that no task learns from has no loss.
#[test]
fn a_task_without_labels_in_a_batch_has_no_loss() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for (name, recipe) in
        [("alone", Recipe { union: None, ..classes(&PARTLY) }), ("union", classes(&PARTLY))]
    {
        let path = folder.path().join(name);
        let (_, observer) = stop_at(recipe, &path, 5);
        for report in &observer.reports {
            let tasks = ["birds", "flowers"].map(|task| report.losses[task]);
            assert_eq!(tasks.iter().flatten().count(), 1, "{name}: {report:?}");
            assert!(report.loss.is_some(), "{name}: {report:?}");
        }
        let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        let step: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        let losses = step["losses"].as_object().unwrap();
        let nulls = losses.iter().filter(|(_, loss)| loss.is_null()).count();
        assert!(losses.contains_key("birds") && losses.contains_key("flowers") && nulls == 1);
    }
}
