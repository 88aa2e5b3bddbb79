//! `precision = "fp16"`: scaled losses, steps that overflow, and what a resumed run knows of them.
use std::collections::BTreeMap;

use crate::common::{Until, alone, recipe, train};
use polyptych_engine::{StepReport, Trainer};
use polyptych_tensor::{Tensor, no_grad};

const FP16: &str = "precision=\"fp16\"";
/// Losses so large that their gradients, scaled, do not fit float16 at first.
const LARGE: &str = "tasks.semseg.weight=100.0";

/// These tests measure nothing.
const SHORT: &str = "data.eval.0.len=1";

fn reports(overrides: &[&str]) -> (Trainer, Vec<StepReport>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut trainer, _) =
        Trainer::start(recipe(overrides), None, &folder.path().join("run")).unwrap();
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    trainer.run(&mut observer).unwrap();
    (trainer, observer.reports)
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().collect()
}

#[test]
fn a_run_that_overflows_at_first_recovers() {
    let _alone = alone();
    let start = recipe(&[FP16, LARGE]);
    assert_eq!(start.precision.kind(), polyptych_tensor::Kind::Half);
    // One skipped step ends a run, unless what it met was the scale.
    let (trainer, reports) =
        reports(&[FP16, LARGE, "train.steps=12", "train.max_skipped=1", SHORT]);
    let skipped = reports.iter().filter(|report| report.skipped).count();
    assert!(reports[0].skipped && (1..8).contains(&skipped), "{reports:?}");
    let scales: Vec<f64> = reports.iter().map(|report| report.loss_scale.unwrap()).collect();
    let before = |step: usize| reports[..step].iter().filter(|report| report.skipped).count();
    let halved = |step: usize| 65536.0 / 2f64.powi(before(step) as i32);
    assert_eq!(scales, (0..12).map(halved).collect::<Vec<_>>());
    assert!(tensors(&trainer).values().all(|t| t.isfinite().all().int64_value(&[]) == 1));
}

/// What PyTorch's scaler does: a loss that is not finite has gradients that are not.
#[test]
fn a_loss_that_is_not_finite_halves_the_scale_and_the_run_goes_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // Losses so small that the first scale fits.
    let small = ["tasks.semseg.weight=0.01", "tasks.depth.weight=0.01"];
    let overrides = [&[FP16, SHORT, "train.steps=8", "train.max_skipped=3"][..], &small].concat();
    let (mut trainer, _) =
        Trainer::start(recipe(&overrides), None, &folder.path().join("run")).unwrap();
    let mut reports = Vec::new();
    let mut go_on = |trainer: &mut Trainer, until| {
        let mut observer = Until { until, ..Until::default() };
        trainer.run(&mut observer).unwrap();
        reports.extend(observer.reports);
    };
    go_on(&mut trainer, 2);
    let mut params = trainer.model().store.trainable().into_iter();
    let (_, mut bias) = params.rfind(|(name, _)| name.starts_with("heads.")).unwrap();
    let kept = bias.detach().copy();
    let _ = no_grad(|| bias.fill_(f64::INFINITY));
    go_on(&mut trainer, 4);
    no_grad(|| bias.copy_(&kept));
    go_on(&mut trainer, u64::MAX);
    let skipped: Vec<u64> = reports.iter().filter(|r| r.skipped).map(|r| r.step).collect();
    assert_eq!(skipped, [3, 4], "{reports:?}");
    assert!(
        !reports[2].loss.unwrap().is_finite() && reports[7].loss.unwrap().is_finite(),
        "{reports:?}"
    );
    let scales: Vec<f64> = reports.iter().map(|report| report.loss_scale.unwrap()).collect();
    let expected = [65536.0, 65536.0, 65536.0, 32768.0, 16384.0, 16384.0, 16384.0, 16384.0];
    assert_eq!(scales, expected);
}

/// The cut lies among the steps that overflow: scale and tracker are those of the checkpoint.
#[test]
fn a_run_in_two_parts_is_the_same_run() {
    let _alone = alone();
    let overrides = [FP16, LARGE, SHORT, "train.steps=10", "train.save_every=2"];
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = train(recipe(&overrides), &folder.path().join("whole"));
    for until in [2, 7] {
        let path = folder.path().join(format!("parts-{until}"));
        let (mut first, _) = Trainer::start(recipe(&overrides), None, &path).unwrap();
        first.run(&mut Until { until, ..Until::default() }).unwrap();
        drop(first);
        let mut second = Trainer::resume(&path).unwrap();
        second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        let (expected, found) = (tensors(&whole), tensors(&second));
        assert!(expected.iter().all(|(name, t)| found[name].equal(t)), "{until}");
        let memory = |run: &str| {
            let file = folder.path().join(run).join("checkpoints/step-00000010/memory.safetensors");
            std::fs::read(file).unwrap()
        };
        assert!(memory("whole") == memory(&format!("parts-{until}")), "{until}");
    }
    let log = std::fs::read_to_string(folder.path().join("whole/metrics.jsonl")).unwrap();
    assert!(log.contains("\"loss_scale\":65536.0"), "{log}");
}

/// Every way to gradients takes the scale away before anything looks at them.
#[test]
fn gradients_are_those_of_float32() {
    let _alone = alone();
    let quiet = [
        SHORT,
        "train.steps=1",
        "train.eval_every=1",
        "train.schedule={ warmup_steps = 0, cooldown_steps = 0, start_factor = 1.0, min_factor = 0.1 }",
        "backbone.drop_path_rate=0.0",
        "adapter.lora_dropout=0.0",
        "tasks.depth.head.dropout=0.0",
        "tasks.semseg.weight=0.01",
        "tasks.depth.weight=0.01",
    ];
    let ways: [&[&str]; 6] = [
        &[],
        &["balancer={loss={name=\"uw\"}}"],
        &["balancer={gradient={name=\"pcgrad\"}}"],
        &["balancer={gradient={name=\"mgda\"}}"],
        &["balancer={gradient={name=\"graddrop\"}}"],
        &["train.conflict_every=1"],
    ];
    for way in ways {
        let norm = |precision: &str| {
            let (_, reports) = reports(&[&quiet[..], way, &[precision]].concat());
            assert!(!reports[0].skipped, "{way:?}");
            reports[0].grad_norm
        };
        let (expected, found) = (norm("precision=\"fp32\""), norm(FP16));
        // Half has 11 bits: sums over a network agree to about a percent.
        assert!((found / expected - 1.0).abs() < 0.03, "{way:?}: {expected} and {found}");
    }
}

/// No scale mends these gradients: below 1, steps count, and the last one can be replayed.
#[test]
fn gradients_that_no_scale_mends_end_the_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let overrides = [FP16, "tasks.semseg.weight=1e37", "train.max_skipped=2", "train.steps=40"];
    let (mut trainer, _) = Trainer::start(recipe(&overrides), None, &path).unwrap();
    let mut observer = Until { until: u64::MAX, ..Until::default() };
    let message = trainer.run(&mut observer).unwrap_err().to_string();
    // Scales 2^16 to 2^0 are free.
    assert!(message.contains("step 19") && message.contains("2 steps in a row"), "{message}");
    drop(trainer);
    let (found, recorded) = Trainer::replay(&path).unwrap();
    assert!(found.differences(&recorded).is_empty());
}
