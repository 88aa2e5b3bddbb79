//! The same training on another device: from one checkpoint of the CPU, the CPU and the device that
//! `POLYPTYCH_TEST_DEVICE` names give the same losses and move every parameter alike.
//!
//! Without the variable it is the counting device: the CPU in the place of a GPU, where the forms of
//! all operations run that a GPU has, and a tensor on the wrong device is an error. With `cpu` both
//! are equal bit for bit.
//! `cargo xtask gpu` carries this program to a machine with a GPU.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::methods::{methods, on_swin_alone};
use common::{Until, alone, balanced, classes, try_recipe};
use polyptych_adapters::AdapterConfig;
use polyptych_engine::{
    BalancerKind, DataSets, OpenRun, Recipe, StepReport, Trainer, evaluate, merge, torch_version,
};
use polyptych_losses::balancers::BalancerConfig;
use polyptych_tensor::device::{COUNTING, name, resolve};
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

/// Nothing that a device draws by itself; SGD moves parameters by their gradients.
const STILL: [&str; 8] = [
    "train.steps=3",
    "train.save_every=100",
    "train.schedule.warmup_steps=0",
    "train.optimiser={name=\"sgd\", momentum=0.0, nesterov=false}",
    "data.eval.0.len=2",
    "backbone.drop_path_rate=0.0",
    "tasks.depth.head={name=\"segformer\", embed_dim=8, dropout=0.0}",
    "tasks.semseg.head={name=\"hrnet\", channels=[4, 4, 4, 4], hidden=8}",
];

const VIT: [&str; 2] = [
    "backbone.name=\"vit_micro_patch8_128\"",
    "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.0}",
];

/// Largest difference of float32 sums in another order, relative to the largest number of a kind.
const FLOAT32: f64 = 1e-4;

/// As [`FLOAT32`], for losses after two steps of the shorter types.
const SHORT: f64 = 3e-2;

/// Opened before LibTorch has drawn any number.
fn device() -> String {
    let device = std::env::var("POLYPTYCH_TEST_DEVICE").unwrap_or_else(|_| COUNTING.into());
    resolve(&device).unwrap_or_else(|e| panic!("{e}"));
    device
}

/// What may differ: nothing on the CPU itself.
fn bound(other: f64) -> f64 {
    if device() == "cpu" { 0.0 } else { other }
}

struct Case {
    name: String,
    recipe: Recipe,
}

fn case(method: &str, balancer: &str, more: &[&str]) -> Case {
    let adapter = still(method);
    let backbone = if on_swin_alone(method) { &VIT[2..] } else { &VIT[..] };
    let name = format!("{method} with {balancer}");
    let recipe = try_recipe(&[&STILL, backbone, &[&adapter], more].concat());
    Case { recipe: recipe.unwrap_or_else(|e| panic!("{name}: {e}")), name }
}

/// The override that chooses `method` at its example, without dropout, and without choices that a
/// last digit decides.
fn still(method: &str) -> String {
    let all = AdapterConfig::examples();
    let example = all.iter().find(|example| example.name() == method).unwrap();
    let mut value = toml::Value::try_from(example).unwrap();
    quiet(value.as_table_mut().unwrap());
    if method == "pdrs_sinewich" {
        // Its components score nearly alike after a step or two: ranks shrink behind the last step,
        // so that all that trains, and scores, are compared. `pdrs` shrinks on the way.
        value["shared"]["rank_shrinking"]["shrinks"] = toml::Value::Integer(1);
    }
    format!("adapter={value}")
}

fn quiet(fields: &mut toml::Table) {
    for (key, field) in fields {
        match field {
            toml::Value::Table(inner) => quiet(inner),
            _ if key.ends_with("dropout") => *field = toml::Value::Float(0.0),
            _ => {}
        }
    }
}

/// Every method with the next balancer, and every balancer that is left with LoRA.
fn cases() -> Vec<Case> {
    // A cut in front of the heads asks for features that all tasks read.
    let (cuts, others): (Vec<_>, Vec<_>) =
        BalancerConfig::examples().into_iter().partition(|b| b.kind() == BalancerKind::Features);
    let mut balancers = others.into_iter();
    let mut cases = Vec::new();
    for method in methods() {
        cases.push(match method.as_str() {
            "emtal" => Case { name: method, recipe: union() },
            // Their tasks share nothing that trains.
            "decoder_only" | "rcm" | "ts_pd" | "fame_vil" => case(&method, "none", &[]),
            _ => match balancers.next() {
                None => case(&method, "none", &[]),
                Some(next) => case(&method, next.name(), &[&balanced(&next)]),
            },
        });
    }
    cases.extend(balancers.chain(cuts).map(|b| case("lora", b.name(), &[&balanced(&b)])));
    cases
}

/// Classification in one space of labels, with the router before it fades.
fn union() -> Recipe {
    classes(&[
        "train.steps=3",
        "train.eval_every=3",
        "train.save_every=100",
        "train.schedule.warmup_steps=0",
        "train.optimiser={name=\"sgd\", momentum=0.0, nesterov=false}",
        "adapter.fading={start=0.0, end=1.0}",
    ])
}

/// The rest of a run.
struct Rest {
    reports: Vec<StepReport>,
    tensors: BTreeMap<String, Tensor>,
}

/// The run in `from` to its end, in a copy of its folder, on `device`.
fn rest(from: &Path, to: &Path, device: &str) -> Rest {
    copied(from, to);
    let (mut trainer, _) = Trainer::resume_with(to, &[format!("device={device:?}")]).unwrap();
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    trainer.run(&mut observer).unwrap();
    Rest { reports: observer.reports, tensors: tensors(&trainer) }
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    let on_cpu = |t: Tensor| t.detach().to_device(Device::Cpu).to_kind(Kind::Float).copy();
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, on_cpu(t))).collect()
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A run of one step on the CPU, saved.
fn begun(recipe: Recipe, path: &Path) -> BTreeMap<String, Tensor> {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    assert!(!trainer.run(&mut Until { until: 1, ..Until::default() }).unwrap().finished);
    tensors(&trainer)
}

/// The largest relative difference of losses.
fn losses_differ(a: &Rest, b: &Rest) -> f64 {
    let pairs = a.reports.iter().zip(&b.reports).flat_map(|(a, b)| {
        a.losses.iter().filter_map(|(task, loss)| Some(((*loss)?, b.losses[task]?)))
    });
    pairs.map(|(a, b)| (a - b).abs() / a.abs().max(1e-6)).fold(0.0, f64::max)
}

/// The largest difference of what parameters moved by, relative to the parameter's largest move, or
/// to a thousandth of the largest of all where its gradient is noise.
fn moves_differ(start: &BTreeMap<String, Tensor>, a: &Rest, b: &Rest) -> (f64, String) {
    let largest = |t: Tensor| t.abs().max().double_value(&[]);
    let some = a.tensors.iter().filter(|(_, t)| t.numel() > 0);
    let moves: Vec<(&String, Tensor, Tensor)> =
        some.map(|(name, t)| (name, t - &start[name], &b.tensors[name] - &start[name])).collect();
    let floor = moves.iter().map(|(_, a, _)| largest(a.shallow_clone())).fold(0.0, f64::max) * 1e-3;
    let relative = |(name, a, b): &(&String, Tensor, Tensor)| {
        let of = largest(a.shallow_clone()).max(floor).max(f64::MIN_POSITIVE);
        (largest(a - b) / of, (*name).clone())
    };
    moves.iter().map(relative).fold((0.0, String::new()), |most, next| {
        if next.0 > most.0 || next.0.is_nan() { next } else { most }
    })
}

#[test]
fn the_device_is_there() {
    println!("{}, LibTorch {}", name(resolve(&device()).unwrap()), torch_version());
}

#[test]
fn every_method_and_balancer_moves_alike() {
    let (_alone, device) = (alone(), device());
    let mut failed = Vec::new();
    println!("| method and balancer | losses | moves | largest at |\n|---|---|---|---|");
    for Case { name, recipe } in cases() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let start = begun(recipe, &at("begun"));
        let cpu = rest(&at("begun"), &at("cpu"), "cpu");
        let other = rest(&at("begun"), &at("other"), &device);
        let (losses, (moves, param)) =
            (losses_differ(&cpu, &other), moves_differ(&start, &cpu, &other));
        println!("| {name} | {losses:.1e} | {moves:.1e} | {param} |");
        // Losses of the last step follow moves of the one before.
        if !(losses <= bound(FLOAT32) && moves <= bound(10.0 * FLOAT32)) {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{device} differs from the CPU: {failed:?}");
}

#[test]
fn shorter_types_move_alike() {
    let (_alone, device) = (alone(), device());
    for precision in ["bf16", "fp16"] {
        let setting = format!("precision=\"{precision}\"");
        let Case { recipe, .. } = case("mtlora", "none", &[&setting]);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        begun(recipe, &at("begun"));
        let cpu = rest(&at("begun"), &at("cpu"), "cpu");
        let other = rest(&at("begun"), &at("other"), &device);
        let losses = losses_differ(&cpu, &other);
        println!("| {precision} | {losses:.1e} |");
        assert!(losses <= bound(SHORT), "{device}, {precision}: {losses}");
    }
}

#[test]
fn a_checkpoint_goes_there_and_back() {
    let (_alone, device) = (alone(), device());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    begun(case("mtlora", "none", &[]).recipe, &at("begun"));
    copied(&at("begun"), &at("there"));
    let settings = [format!("device={device:?}")];
    let (mut trainer, _) = Trainer::resume_with(&at("there"), &settings).unwrap();
    let _ = trainer.run(&mut Until { until: 2, ..Until::default() }).unwrap();
    drop(trainer);
    let back = rest(&at("there"), &at("back"), "cpu");
    let cpu = rest(&at("begun"), &at("cpu"), "cpu");
    let (last, found) = (cpu.reports.last().unwrap(), back.reports.last().unwrap());
    assert_eq!(found.step, last.step);
    let (expected, found) = (last.loss.unwrap(), found.loss.unwrap());
    assert!((expected - found).abs() <= bound(FLOAT32) * expected.abs(), "{expected} {found}");
}

#[test]
fn gradient_checkpointing_moves_alike() {
    let (_alone, device) = (alone(), device());
    let Case { mut recipe, .. } = case("mtlora", "none", &[]);
    recipe.backbone.grad_checkpointing = true;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let start = begun(recipe, &at("begun"));
    let cpu = rest(&at("begun"), &at("cpu"), "cpu");
    let other = rest(&at("begun"), &at("other"), &device);
    let (moves, param) = moves_differ(&start, &cpu, &other);
    assert!(moves <= bound(10.0 * FLOAT32), "{device}: {param}: {moves}");
}

#[test]
fn scores_and_merged_models_agree() {
    let (_alone, device) = (alone(), device());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    begun(case("mtlora", "none", &[]).recipe, &at("begun"));
    let scored = |path: &Path, device: &str| {
        let run = OpenRun::open(path, false, Some(device)).unwrap();
        let loader = DataSets::open_eval(&run.recipe).unwrap();
        let scores = no_grad(|| evaluate(&run.model, &loader, None, |_| ())).unwrap();
        scores.headlines().into_iter().map(|(task, s)| (task.to_owned(), s.value)).collect()
    };
    let expected: Vec<(String, f64)> = scored(&at("begun"), "cpu");
    let run = OpenRun::open(&at("begun"), false, Some(&device)).unwrap();
    let report = merge(&run, &at("merged"), false).unwrap();
    assert!(report.differences.values().all(|d| d.largest <= 1e-4 * d.of), "{report:?}");
    for path in ["begun", "merged"] {
        let found = scored(&at(path), &device);
        for ((task, a), (_, b)) in expected.iter().zip(&found) {
            let of = if path == "begun" { bound(1e-3) } else { 1e-3 };
            assert!((a - b).abs() <= of * a.abs().max(1.0), "{device}, {path}, {task}: {a} {b}");
        }
    }
}
