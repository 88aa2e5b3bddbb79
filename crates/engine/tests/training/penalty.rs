//! A method's own term of the loss joins behind whatever balances the tasks.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Until, alone, recipe};
use polyptych_engine::{Recipe, Trainer};
use polyptych_tensor::Tensor;
use serde_json::Value;

const LR: f64 = 0.5;
const LAMBDA: f64 = 0.5;

/// One step without momentum, decay or clipping, so that a gradient is what a parameter moved by.
fn taps(lambda: f64, more: &[&str]) -> Recipe {
    let adapter = format!("adapter={{method=\"taps\", r=1, lambda={lambda}}}");
    let lr = format!("train.lr={LR}");
    let plain = [
        "train.steps=1",
        "train.eval_every=1",
        "train.save_every=1",
        "train.weight_decay=0.0",
        "train.clip_grad_norm=1e9",
        "train.schedule={warmup_steps=0, cooldown_steps=0, start_factor=1.0, min_factor=1.0}",
        "train.optimiser={name=\"sgd\", momentum=0.0, nesterov=false}",
    ];
    recipe(&[&[adapter.as_str(), lr.as_str()], &plain[..], more].concat())
}

/// The parameters behind the step, and the line that tells of it.
fn step(recipe: Recipe, path: &Path) -> (BTreeMap<String, Tensor>, Value) {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let line = log.lines().next().unwrap();
    let tensors = trainer.model().store.tensors();
    (tensors.into_iter().collect(), serde_json::from_str(line).unwrap())
}

#[test]
fn no_balancer_sees_a_penalty() {
    let _alone = alone();
    for (name, more) in [
        ("none", &[][..]),
        ("pcgrad", &["balancer={gradient={name=\"pcgrad\"}}"]),
        ("copies", &["backbone.per_task=true"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (plain, line) = step(taps(0.0, more), &folder.path().join("plain"));
        assert!(line.get("penalty").is_none(), "{name}: {line}");
        let (found, line) = step(taps(LAMBDA, more), &folder.path().join("penalised"));
        // The scalars start at 0.15; every copy has its term.
        let copies = if name == "copies" { 2.0 } else { 1.0 };
        let penalty = line["penalty"].as_f64().unwrap();
        assert!((penalty - copies * LAMBDA * 0.15).abs() < 1e-6, "{name}: {penalty}");
        let layers = found.keys().filter(|name| name.ends_with("taps_s")).count() as f64 / copies;
        for (param, value) in &found {
            if !param.ends_with("taps_s") {
                assert!(value.equal(&plain[param]), "{name}: {param}");
                continue;
            }
            let moved = (&plain[param] - value).double_value(&[0]);
            assert!((moved - LR * LAMBDA / layers).abs() < 1e-6, "{name}: {param}: {moved}");
        }
    }
}

#[test]
fn an_optimiser_of_task_gradients_has_no_place_for_a_penalty() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let adatask = ["train.optimiser={name=\"adatask\"}"];
    let (mut trainer, _) = Trainer::start(taps(LAMBDA, &adatask), None, &path).unwrap();
    let refusal = trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap_err();
    let message = refusal.to_string();
    assert!(message.contains("train.optimiser: expected adamw or sgd, found adatask"), "{message}");
}
