//! The quality-retaining loss against its equations: a file of six steps that an independent
//! program made, the closed forms of the method, and a reference in float64.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use polyptych_formats::file;
use polyptych_losses::{BankForm, ClassRanges, QrLoss, QualityRetaining, QualityRetainingConfig};
use polyptych_tensor::{Device, Kind, Tensor, Tensors};
use support::{Reference, divergence, draw, labels, numbers, rows, softmax};

const TWO_SLOT: QualityRetainingConfig = QualityRetainingConfig {
    bank: BankForm::TwoSlot,
    temperature: 2.0,
    momentum: 0.95,
    start: 10.0,
    bank_momentum: 0.5,
    floor: 1e-3,
    mask_unseen: false,
    weight: 1.0,
};
const EMA: QualityRetainingConfig = QualityRetainingConfig { bank: BankForm::Ema, ..TWO_SLOT };

fn retaining(config: QualityRetainingConfig, sizes: &[usize]) -> QualityRetaining {
    let names: Vec<String> = (0..sizes.len()).map(|task| format!("task{task}")).collect();
    let counts = names.iter().map(String::as_str).zip(sizes.iter().copied());
    QualityRetaining::new(config, ClassRanges::new(counts).unwrap(), Device::Cpu).unwrap()
}

fn step(loss: &mut QualityRetaining, logits: &[&[f32]], classes: &[i64]) -> QrLoss {
    let logits = Tensor::from_slice(&logits.concat()).view([classes.len() as i64, -1]);
    loss.forward(&logits, &Tensor::from_slice(classes)).unwrap()
}

fn part(loss: &QualityRetaining, name: &str) -> Tensor {
    loss.state().remove(&format!("quality_retaining.{name}")).unwrap()
}

/// What slot `slot` holds of `class`.
fn slot(loss: &QualityRetaining, class: i64, slot: i64) -> Vec<f64> {
    numbers(&part(loss, "bank").select(0, class).select(0, slot))
}

fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{at}: {found} is not {expected}");
    }
}

/// 5e-6 of numbers up to 10: the peer keeps its running losses in float32.
#[test]
fn six_steps_equal_the_peer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles");
    let file = file::load(&path.join("quality_retaining.safetensors")).unwrap();
    let mut loss = retaining(TWO_SLOT, &[4, 3, 5]);
    for step in 0..6 {
        let [logits, target] = ["logits", "target"]
            .map(|what| file.tensors[&format!("input.step{step}.{what}")].shallow_clone());
        let found = loss.forward(&logits, &target).unwrap();
        let peer = |what: &str| numbers(&file.tensors[&format!("output.step{step}.{what}")]);
        let cross_entropy = found.sample_losses.mean(Kind::Float);
        close(&numbers(&cross_entropy), &peer("cross_entropy"), 5e-6);
        close(&numbers(&found.loss), &peer("quality_retaining"), 5e-6);
        close(&numbers(&loss.running_losses()), &peer("task_loss_ema"), 5e-6);
    }
}

/// Loss, gradient, running losses and bank over steps in which classes repeat, are absent, or
/// never come (the last two).
#[test]
fn every_form_equals_the_reference() {
    let forms = [
        (TWO_SLOT, vec![3, 2, 3]),
        (EMA, vec![3, 2, 3]),
        (QualityRetainingConfig { mask_unseen: true, ..TWO_SLOT }, vec![8]),
        (QualityRetainingConfig { mask_unseen: true, ..EMA }, vec![1; 8]),
        (QualityRetainingConfig { floor: 4.0, momentum: 0.5, ..TWO_SLOT }, vec![3, 5]),
        (QualityRetainingConfig { bank_momentum: 0.8, temperature: 3.0, ..EMA }, vec![4, 4]),
        (QualityRetainingConfig { start: 1.0, weight: 0.25, ..TWO_SLOT }, vec![4, 4]),
    ];
    for (config, sizes) in forms {
        let mut loss = retaining(config, &sizes);
        let mut reference = Reference::new(config, &sizes);
        for seed in 0..8 {
            let (logits, classes) = draw(seed, 7, 8, 6);
            let logits = logits.set_requires_grad(true);
            let found = loss.forward(&logits, &classes).unwrap().loss;
            assert_eq!((found.kind(), found.dim()), (Kind::Float, 0));
            found.backward();
            let (z, y) = (rows(&logits), labels(&classes));
            reference.move_running_losses(&z, &y);
            close(&numbers(&found), &[reference.loss(&z, &y)], 1e-5);
            close(&numbers(&logits.grad()), &slopes(&reference, &z, &y), 1e-6);
            reference.write(&z, &y);
            close(&numbers(&loss.running_losses()), &reference.running, 1e-6);
            close(&numbers(&part(&loss, "bank")), &reference.bank.concat().concat(), 1e-6);
            let seen: Vec<f64> = reference.seen.concat().iter().map(|&s| s.into()).collect();
            assert_eq!(numbers(&part(&loss, "seen")), seen);
        }
        assert_eq!(slot(&loss, 7, 0), [0.0; 8]);
    }
}

/// Central differences.
fn slopes(reference: &Reference, logits: &[Vec<f64>], classes: &[usize]) -> Vec<f64> {
    let moved = |s: usize, c: usize, by: f64| {
        let mut logits = logits.to_vec();
        logits[s][c] += by;
        reference.loss(&logits, classes)
    };
    let slope = |s, c| (moved(s, c, 1e-5) - moved(s, c, -1e-5)) / 2e-5;
    (0..logits.len()).flat_map(|s| (0..logits[s].len()).map(move |c| slope(s, c))).collect()
}

#[test]
fn nothing_is_lost_where_nothing_changed() {
    for config in [TWO_SLOT, QualityRetainingConfig { bank_momentum: 0.0, ..EMA }] {
        let mut loss = retaining(config, &[2, 1]);
        let same: [&[f32]; 2] = [&[0.5, -1.0, 2.0], &[3.0, 0.25, -0.75]];
        let values = [(); 3].map(|()| step(&mut loss, &same, &[0, 2]).loss.double_value(&[]));
        assert!(values[0] > 0.01 && values[2].abs() < 1e-7, "{values:?}");
    }
}

#[test]
fn an_empty_bank_pulls_towards_the_uniform_distribution() {
    let z = [1.5f32, -0.5, 0.25, 2.0];
    let q = softmax(&z.map(f64::from), 2.0);
    let expected = |e: f64| 4.0 * 2.0 * divergence(&[0.25; 4], &q) / e;
    for config in [TWO_SLOT, EMA] {
        let mut loss = retaining(config, &[4]);
        let found = step(&mut loss, &[&z], &[3]);
        let e = 9.5 + 0.05 * found.sample_losses.double_value(&[0]);
        close(&numbers(&found.loss), &[expected(e)], 1e-6);
    }
}

/// `(2 T / (B e)) (q - mean of the slots' softmaxes)`.
#[test]
fn the_gradient_is_the_published_one() {
    let mut loss = retaining(TWO_SLOT, &[3, 2]);
    for seed in 0..3 {
        let (logits, _) = draw(seed, 4, 5, 5);
        let _ = loss.forward(&logits, &Tensor::from_slice(&[0i64, 1, 3, 4])).unwrap();
    }
    let (logits, _) = draw(9, 4, 5, 5);
    let (logits, classes) = (logits.set_requires_grad(true), [0i64, 1, 3, 4]);
    let slots = classes.map(|y| [slot(&loss, y, 0), slot(&loss, y, 1)]);
    loss.forward(&logits, &Tensor::from_slice(&classes)).unwrap().loss.backward();
    let e = numbers(&loss.running_losses());
    let one = |(z, (y, [a, b])): (&Vec<f64>, (i64, [Vec<f64>; 2]))| -> Vec<f64> {
        let [q, a, b] = [z, &a, &b].map(|z| softmax(z, 2.0));
        let scale = 2.0 * 2.0 / (4.0 * e[usize::from(y >= 3)]);
        (0..5).map(|c| scale * (q[c] - (a[c] + b[c]) / 2.0)).collect()
    };
    let expected: Vec<f64> =
        rows(&logits).iter().zip(classes.into_iter().zip(slots)).flat_map(one).collect();
    close(&numbers(&logits.grad()), &expected, 1e-7);
}

#[test]
fn the_bank_keeps_the_last_two_or_their_average() {
    let [a, b, c]: [[f32; 3]; 3] = [[8.0, -4.0, 2.0], [1.0, 6.0, -2.0], [-3.0, 0.5, 4.0]];
    let fill = |config| {
        let mut loss = retaining(config, &[1, 2]);
        for z in [a, b, c] {
            let _ = step(&mut loss, &[&z], &[1]);
        }
        loss
    };
    let two = fill(TWO_SLOT);
    assert_eq!([slot(&two, 1, 0), slot(&two, 1, 1)], [b, c].map(|z| z.map(f64::from).to_vec()));
    let mixed = [0, 1, 2].map(|i| f64::from(0.125 * a[i] + 0.25 * b[i] + 0.5 * c[i]));
    assert_eq!(slot(&fill(EMA), 1, 0), mixed);
    for class in [0, 2] {
        assert_eq!(slot(&two, class, 1), [0.0; 3]);
    }
    assert_eq!(numbers(&part(&two, "seen")), [0., 0., 1., 1., 0., 0.]);
}

#[test]
fn an_absent_task_keeps_its_running_loss() {
    let mut loss = retaining(TWO_SLOT, &[2, 2]);
    let found = step(&mut loss, &[&[1.0, 2.0, 0.0, 0.5], &[0.0, -1.0, 3.0, 0.5]], &[0, 1]);
    let x = found.sample_losses.mean(Kind::Double).double_value(&[]);
    close(&numbers(&loss.running_losses()), &[9.5 + 0.05 * x, 10.0], 1e-9);
}

#[test]
fn a_repeated_class_is_written_once_with_its_last_logits() {
    let [a, b, c]: [[f32; 2]; 3] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
    let mut loss = retaining(TWO_SLOT, &[1, 1]);
    let _ = step(&mut loss, &[&a], &[1]);
    let _ = step(&mut loss, &[&b, &a, &c, &b], &[1, 0, 1, 0]);
    assert_eq!([slot(&loss, 1, 0), slot(&loss, 1, 1)], [a, c].map(|z| z.map(f64::from).to_vec()));
    assert_eq!(slot(&loss, 0, 0), [0.0; 2]);
    assert_eq!(slot(&loss, 0, 1), b.map(f64::from));
    let mut mean = retaining(EMA, &[1, 1]);
    let _ = step(&mut mean, &[&b, &c], &[1, 1]);
    assert_eq!(slot(&mean, 1, 0), c.map(|z| f64::from(z) / 2.0));
}

#[test]
fn slots_never_written_may_be_left_out() {
    let masked = QualityRetainingConfig { mask_unseen: true, ..TWO_SLOT };
    let (z, other): ([f32; 2], [f32; 2]) = ([1.0, -1.0], [0.0, 2.0]);
    let mut loss = retaining(masked, &[2]);
    assert_eq!(step(&mut loss, &[&z], &[0]).loss.double_value(&[]), 0.0);
    let found = step(&mut loss, &[&other], &[0]).loss;
    let [p, q] = [z, other].map(|z| softmax(&z.map(f64::from), 2.0));
    let e = loss.running_losses().double_value(&[0]);
    close(&numbers(&found), &[4.0 * divergence(&p, &q) / e], 1e-6);
}

#[test]
fn a_task_that_fits_perfectly_is_divided_by_the_floor() {
    let config = QualityRetainingConfig { start: 1e-6, floor: 0.01, ..TWO_SLOT };
    let mut loss = retaining(config, &[1, 1]);
    let (fits, fails): ([f32; 2], [f32; 2]) = ([60.0, 0.0], [60.0, 0.0]);
    let found = step(&mut loss, &[&fits, &fails], &[0, 1]);
    assert_eq!(found.floored.int64_value(&[]), 1);
    let kl = 8.0 * divergence(&[0.5; 2], &softmax(&[60.0, 0.0], 2.0));
    let e = loss.running_losses().double_value(&[1]);
    assert!((e - 3.0).abs() < 0.1, "{e}");
    let expected = (kl / 0.01 + kl / e) / 2.0;
    let found = found.loss.double_value(&[]);
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} is not {expected}");
}

#[test]
fn half_precision_is_counted_in_float32() {
    for kind in [Kind::Half, Kind::BFloat16, Kind::Double] {
        let [mut a, mut b] = [retaining(TWO_SLOT, &[3, 3]), retaining(TWO_SLOT, &[3, 3])];
        for seed in 0..3 {
            let (logits, classes) = draw(seed, 5, 6, 6);
            let logits = logits.to_kind(kind).set_requires_grad(true);
            let found = a.forward(&logits, &classes).unwrap().loss;
            let wide = b.forward(&logits.detach().to_kind(Kind::Float), &classes).unwrap().loss;
            assert!(found.equal(&wide));
            found.backward();
            assert_eq!(logits.grad().kind(), kind);
        }
        assert!(part(&a, "bank").equal(&part(&b, "bank")));
    }
}

#[test]
fn a_restored_loss_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for config in [TWO_SLOT, EMA] {
        let mut one = retaining(config, &[2, 4]);
        let run = |loss: &mut QualityRetaining, seeds: std::ops::Range<u64>| -> Vec<f64> {
            let one = |seed| {
                let (logits, classes) = draw(seed, 5, 6, 6);
                loss.forward(&logits, &classes).unwrap().loss.double_value(&[])
            };
            seeds.map(one).collect()
        };
        let _ = run(&mut one, 0..4);
        file::save(&path, &one.state(), Default::default()).unwrap();
        let expected = run(&mut one, 4..8);
        let mut other = retaining(config, &[2, 4]);
        other.restore(&file::load(&path).unwrap().tensors).unwrap();
        assert_eq!(run(&mut other, 4..8), expected);
        for (name, tensor) in one.state() {
            assert!(tensor.equal(&other.state()[&name]), "{name}");
        }
    }
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut loss = retaining(TWO_SLOT, &[3, 3]);
    let refusal = |loss: &mut QualityRetaining, state: &Tensors| {
        let before = loss.state();
        let message = loss.restore(state).unwrap_err().to_string();
        assert!(before.iter().all(|(name, tensor)| tensor.equal(&loss.state()[name])));
        message
    };
    let message = refusal(&mut loss, &retaining(TWO_SLOT, &[4, 4]).state());
    assert_eq!(message, "quality_retaining.bank: expected [6, 2, 6], found [8, 2, 8]");
    let message = refusal(&mut loss, &retaining(EMA, &[3, 3]).state());
    assert_eq!(message, "quality_retaining.bank: expected [6, 2, 6], found [6, 1, 6]");
    let message = refusal(&mut loss, &retaining(TWO_SLOT, &[2, 2, 2]).state());
    assert_eq!(message, "quality_retaining.running_loss: expected [2], found [3]");
    let mut state = loss.state();
    let _ = state.insert("quality_retaining.bank".into(), part(&loss, "bank").to_kind(Kind::Half));
    assert_eq!(refusal(&mut loss, &state), "quality_retaining.bank: expected Float, found Half");
    let mut state = loss.state();
    let _ = state.remove("quality_retaining.seen");
    assert_eq!(
        refusal(&mut loss, &state),
        "quality_retaining.seen: expected [6, 2], found no such tensor"
    );
}

#[test]
fn bad_batches_are_refused_and_change_nothing() {
    let mut loss = retaining(TWO_SLOT, &[3, 3]);
    let (logits, classes) = draw(1, 4, 6, 6);
    let before = loss.state();
    let mut refusal =
        |logits: &Tensor, classes: &Tensor| loss.forward(logits, classes).unwrap_err().to_string();
    let message = refusal(&logits.narrow(1, 0, 5), &classes);
    assert_eq!(message, "logits: expected [batch, 6], found [4, 5]");
    let message = refusal(&logits.unsqueeze(0), &classes);
    assert_eq!(message, "logits: expected [batch, 6], found [1, 4, 6]");
    let message = refusal(&logits.to_kind(Kind::Int64), &classes);
    assert_eq!(message, "logits: expected floating point, found Int64");
    let message = refusal(&logits, &classes.narrow(0, 0, 3));
    assert_eq!(message, "classes: expected [4], found [3]");
    let message = refusal(&logits, &classes.to_kind(Kind::Float));
    assert_eq!(message, "classes: expected Int64, found Float");
    for wrong in [6i64, -1, 255] {
        let message = refusal(&logits, &Tensor::from_slice(&[0, 5, wrong, 1]));
        assert_eq!(message, format!("classes: expected indices 0..6, found {wrong}"));
    }
    assert!(before.iter().all(|(name, tensor)| tensor.equal(&loss.state()[name])));
}

/// A bank with a NaN in it would never give a number again.
#[test]
fn a_batch_that_is_not_finite_is_not_remembered() {
    for config in [TWO_SLOT, EMA] {
        let mut loss = retaining(config, &[1, 2]);
        let _ = step(&mut loss, &[&[1.0, 2.0, 3.0]], &[1]);
        let before = loss.state();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = step(&mut loss, &[&[0.0, wrong, 1.0], &[4.0, 5.0, 6.0]], &[0, 1]).loss;
            assert!(!found.double_value(&[]).is_finite());
            assert!(before.iter().all(|(name, tensor)| tensor.equal(&loss.state()[name])));
        }
        assert!(step(&mut loss, &[&[1.0, 2.0, 3.0]], &[1]).loss.double_value(&[]).is_finite());
    }
}

#[test]
fn a_batch_without_samples_is_zero() {
    let mut loss = retaining(TWO_SLOT, &[3, 3]);
    let (logits, classes) = draw(1, 4, 6, 6);
    let found = loss.forward(&logits.narrow(0, 0, 0), &classes.narrow(0, 0, 0)).unwrap();
    assert_eq!(found.loss.double_value(&[]), 0.0);
    assert_eq!(numbers(&loss.running_losses()), [10.0, 10.0]);
}
