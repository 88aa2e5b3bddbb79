//! How often does a training step wait for a device?
//!
//! Runs on the counting device, which stands for a GPU. A step uploads its batch in one copy that
//! nobody waits for, and reads its numbers at once: whether it may be taken, and what the log says.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::{alone, balanced, classes, recipe};
use polyptych_engine::{Evaluation, Observer, Recipe, StepReport, Trainer};
use polyptych_kernels::take_transfers;
use polyptych_losses::balancers::BalancerConfig;
use polyptych_tensor::device;

const UPLOAD: &str = "to device, not waited for";

/// What was counted in each step.
#[derive(Default)]
struct Counter {
    steps: RefCell<Vec<Vec<String>>>,
}

impl Observer for Counter {
    fn step(&mut self, _report: &StepReport, _steps: u64) {
        self.steps.borrow_mut().push(take_transfers());
    }

    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation) {}

    fn stop(&self) -> bool {
        // The evaluation of the end is no step.
        self.steps.borrow().len() == 3
    }
}

/// Copies that nobody waits for, and waits, of the third step: the first ones make what is kept.
fn third_step(recipe: Recipe) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut trainer, _) = Trainer::start(recipe, None, &folder.path().join("run")).unwrap();
    let mut counter = Counter::default();
    trainer.run(&mut counter).unwrap();
    let last = counter.steps.borrow_mut().pop().unwrap();
    let (uploads, waits): (Vec<_>, Vec<_>) = last.into_iter().partition(|name| name == UPLOAD);
    (uploads.len(), waits)
}

/// `name=count` of each.
fn counted(names: &[String]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    counts.iter().map(|(name, count)| format!("{name} x {count}")).collect::<Vec<_>>().join(", ")
}

fn example(name: &str) -> String {
    let all = BalancerConfig::examples();
    balanced(all.iter().find(|example| example.name() == name).unwrap())
}

/// Methods by their names, each without a balancer, with a weighting of losses and with an
/// aggregator of gradients, and how often a step may wait.
fn cases() -> Vec<(String, Recipe, usize)> {
    let on = "device=\"counting\"";
    let few = ["train.steps=4", "train.eval_every=4", "train.save_every=100"];
    let mut cases = Vec::new();
    let union = classes(&[&few[..], &[on, "adapter.fading={start=0.0, end=1.0}"]].concat());
    cases.push(("emtal".to_owned(), union, 1));
    for method in ["mtlora", "vmt_adapter", "lora", "full"] {
        let adapter = common::methods::chosen(method);
        let all = [("none", None, 1), ("uw", Some("uw"), 2), ("pcgrad", Some("pcgrad"), 3)];
        for (name, balancer, most) in all {
            let balancer = balancer.map(example);
            let own: Vec<&str> = balancer.iter().map(String::as_str).collect();
            let recipe = recipe(&[&few[..], &[on, &adapter], &own].concat());
            cases.push((format!("{method}, {name}"), recipe, most));
        }
    }
    cases
}

#[test]
fn a_step_waits_for_its_numbers_alone() {
    let _alone = alone();
    device::resolve(device::COUNTING).unwrap();
    println!("| method, balancer | uploads | waits | of which |\n|---|---|---|---|");
    let mut failed = Vec::new();
    for (name, recipe, most) in cases() {
        let (uploads, waits) = third_step(recipe);
        println!("| {name} | {uploads} | {} | {} |", waits.len(), counted(&waits));
        if waits.len() > most {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
