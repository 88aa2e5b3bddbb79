//! Rule 4 of the design for everything that there is: `N + N` steps are `2 N` steps, bit for bit on
//! the CPU, with every adapter method and every balancer, and a step of bad numbers is forgotten.
//! Blocks that keep their inputs alone, and are run again, change no bit either.
//!
//! Both lists are the program's own, so that what is new is tested, or fails here until its fields
//! are known. Every run has one of each where the two go together.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::methods::{VIT, chosen, methods, on_swin_alone};
use common::{Until, alone, balanced, classes, try_recipe};
use polyptych_engine::{BalancerKind, Error, ExportFormat, OpenRun, Recipe, Trainer, export};
use polyptych_losses::balancers::BalancerConfig;
use polyptych_tensor::{Tensor, no_grad};

/// Three batches are an epoch: the cut lies within the first, the end within the second.
const QUICK: [&str; 4] =
    ["train.steps=4", "train.save_every=100", "train.schedule.warmup_steps=1", "data.eval.0.len=1"];

/// A recipe, and its name in what fails.
struct Case {
    name: String,
    recipe: Recipe,
}

/// Whether a combiner of gradients finds any that two tasks share.
fn combines(method: &str) -> bool {
    !["decoder_only", "emtal", "rcm", "ts_pd", "fame_vil"].contains(&method)
}

/// Every balancer with the next method, and every method that has none.
fn cases() -> Vec<Case> {
    let methods = methods();
    let (sharing, apart): (Vec<_>, Vec<_>) = methods.iter().partition(|method| combines(method));
    let mut next = sharing.iter().cycle();
    let mut cases: Vec<Case> = BalancerConfig::examples()
        .iter()
        .map(|config| {
            // A cut in front of the heads asks for features that all tasks read.
            let features = config.kind() == BalancerKind::Features;
            let method = if features { "lora" } else { next.next().unwrap() };
            // The second step of two solves nothing.
            let setting = balanced(config);
            let setting = setting.replace("update_weights_every = 1", "update_weights_every = 2");
            case(method, config.name(), &[&setting])
        })
        .collect();
    let left = sharing.len().saturating_sub(cases.len());
    // A method with a penalty would be refused.
    cases.push(case("lora", "adatask", &["train.optimiser={name=\"adatask\"}"]));
    cases.extend(next.take(left).map(|method| case(method, "none", &[])));
    cases.extend(apart.iter().map(|method| match method.as_str() {
        "emtal" => Case { name: "emtal, its router and its bank".into(), recipe: fading() },
        method => case(method, "none", &[]),
    }));
    cases
}

fn case(method: &str, balancer: &str, more: &[&str]) -> Case {
    let adapter = chosen(method);
    let backbone = if on_swin_alone(method) { &VIT[1..] } else { &VIT };
    let recipe = try_recipe(&[&QUICK, backbone, &[&adapter], more].concat());
    let name = format!("{method} with {balancer}");
    let recipe = recipe.unwrap_or_else(|e| panic!("{name}: {e}"));
    Case { name, recipe }
}

/// The cut lies within the fading of the router, and between two writes to the bank of one class.
fn fading() -> Recipe {
    classes(&[
        "train.steps=4",
        "train.eval_every=4",
        "train.save_every=100",
        "adapter.fading={start=0.0, end=1.0}",
    ])
}

#[test]
fn every_method_and_balancer_trains_goes_on_bit_for_bit_and_skips() {
    let _alone = alone();
    let mut exported = BTreeSet::new();
    for Case { name, recipe } in cases() {
        let new = exported.insert(recipe.adapter.name());
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        let trained = trains(recipe.clone(), &whole, &name);
        let mut again = recipe;
        again.backbone.grad_checkpointing = new;
        let (mut first, _) = Trainer::start(again, None, &parts).unwrap();
        assert!(!first.run(&mut until(2)).unwrap().finished);
        skips(&mut first, &parts, &name);
        drop(first);
        let mut second = Trainer::resume(&parts).unwrap();
        assert_eq!(second.step(), 2, "{name}");
        assert!(second.run(&mut until(u64::MAX)).unwrap().finished);
        for ((param, expected), (_, found)) in tensors(&trained).into_iter().zip(tensors(&second)) {
            assert!(expected.equal(&found), "{name}: {param} differs");
        }
        assert_eq!(memory(&whole, 4), memory(&parts, 4), "{name}");
        if new {
            exports(&whole, &name);
        }
    }
}

/// A model that merges goes to ONNX: every method's operations have their operators.
fn exports(path: &Path, name: &str) {
    let run = OpenRun::open(path, false, None).unwrap();
    match export(&run, ExportFormat::Onnx, &path.join("model.onnx"), None) {
        Ok(report) => assert_eq!(report.differences.len(), run.model.tasks.len(), "{name}"),
        Err(Error::Unmergeable { .. }) => {}
        Err(e) => panic!("{name}: {e}"),
    }
}

/// A run to the end, whose numbers are finite and which moves what trains.
fn trains(recipe: Recipe, path: &Path, name: &str) -> Trainer {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    let before = tensors(&trainer);
    let mut observer = until(u64::MAX);
    trainer.run(&mut observer).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(observer.reports.len(), 4);
    for report in &observer.reports {
        let finite = report.loss.unwrap().is_finite()
            && report.losses.values().flatten().all(|l| l.is_finite());
        assert!(finite && !report.skipped, "{name}: {report:?}");
    }
    let trainable = trainer.model().store.trainable();
    let stays = |(param, now): &&(String, Tensor)| now.detach().equal(&before[param]);
    let (still, all) = (trainable.iter().filter(stays).count(), trainable.len());
    assert!(still * 10 <= all, "{name}: {still} of {all} parameters did not move");
    trainer
}

/// One step more with a head that is spoilt, whose loss is not a number; then that step is undone.
fn skips(trainer: &mut Trainer, path: &Path, name: &str) {
    let before = memory(path, 2);
    let (_, param) = trainer.model().store.trainable().pop().unwrap();
    no_grad(|| drop(param.shallow_clone().fill_(f64::NAN)));
    let mut observer = until(3);
    trainer.run(&mut observer).unwrap();
    assert!(observer.reports[0].skipped, "{name}");
    assert_eq!(before, memory(path, 3), "{name}");
    std::fs::remove_dir_all(path.join("checkpoints/step-00000003")).unwrap();
}

fn until(until: u64) -> Until {
    Until { until, ..Until::default() }
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
}

/// What balancer, bank and optimiser of the run in `path` remembered after `step`.
fn memory(path: &Path, step: u64) -> [Vec<u8>; 2] {
    let folder = path.join(format!("checkpoints/step-{step:08}"));
    ["memory", "optimiser"]
        .map(|n| std::fs::read(folder.join(n.to_owned() + ".safetensors")).unwrap())
}
