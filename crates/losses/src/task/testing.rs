//! Comparison of a loss with its formula, in float64 and by hand.

use polyptych_tensor::{Device, Kind, Tensor};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::task::loss::TaskLoss;

// LibTorch's generator is one for the whole process, in which tests run side by side, so that a
// seed set there would not make a test repeatable. Each draw has its own generator instead.

/// Outputs of a model: standard normal.
pub(crate) fn prediction(seed: u64, shape: &[i64]) -> Tensor {
    // Box and Muller's; the first number must not be 0.
    let normal = |draw: &mut Pcg64| {
        let (radius, angle) = (1.0 - draw.random::<f32>(), draw.random::<f32>());
        (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
    };
    drawn(seed, shape, normal)
}

/// Class indices below `classes`, as float32.
pub(crate) fn classes(seed: u64, shape: &[i64], classes: u16) -> Tensor {
    drawn(seed, shape, |draw| f32::from(draw.random_range(0..classes)))
}

fn drawn(seed: u64, shape: &[i64], one: impl Fn(&mut Pcg64) -> f32) -> Tensor {
    let mut draw = Pcg64::seed_from_u64(seed);
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> = (0..count).map(|_| one(&mut draw)).collect();
    Tensor::from_slice(&values).view(shape)
}

/// The target with a third of its labels taken away.
pub(crate) fn with_nan(target: &Tensor) -> Tensor {
    let each = Tensor::arange(target.numel() as i64, (Kind::Int64, Device::Cpu));
    target.masked_fill(&each.remainder(3).eq(1).view_as(target), f64::NAN)
}

/// Checks value and gradient against `formula(prediction, target)`, for float32 and bfloat16.
///
/// Tolerance 1e-5, float32 arithmetic over some dozens of elements; gradients that come back
/// as bfloat16 carry its 8 bits. Formula gradients are central differences in float64.
pub(crate) fn agrees(
    loss: &dyn TaskLoss,
    z: &Tensor,
    y: &Tensor,
    formula: impl Fn(&[f64], &[f64]) -> f64,
) {
    for (kind, gradient_tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 4e-3)] {
        let z = z.to_kind(kind).detach().set_requires_grad(true);
        let value = loss.forward(&z, y).unwrap();
        assert_eq!((value.loss.kind(), value.loss.dim()), (Kind::Float, 0));
        let labelled = y.isnan().logical_not().sum(Kind::Int64);
        assert!(value.labelled.equal(&labelled), "{:?}", value.labelled);
        let (z64, y64) = (numbers(&z), numbers(y));
        let expected = formula(&z64, &y64);
        let found = value.loss.double_value(&[]);
        assert!((found - expected).abs() < 1e-5, "{kind:?}: {found} is not {expected}");
        value.loss.backward();
        for (at, found) in numbers(&z.grad()).into_iter().enumerate() {
            let expected = slope(&z64, at, |z| formula(z, &y64));
            assert!((found - expected).abs() < gradient_tolerance, "{at}: {found}, {expected}");
        }
    }
}

/// Checks that a target of NaN alone gives exactly 0 and zero gradients.
pub(crate) fn is_zero_without_labels(loss: &dyn TaskLoss, outputs: &[i64], target: &[i64]) {
    let z = prediction(1, outputs).set_requires_grad(true);
    let y = Tensor::full(target, f64::NAN, (Kind::Float, Device::Cpu));
    let value = loss.forward(&z, &y).unwrap();
    assert_eq!(value.loss.double_value(&[]), 0.0);
    assert_eq!(value.labelled.int64_value(&[]), 0);
    value.loss.backward();
    assert!(z.grad().equal(&z.zeros_like()));
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn slope(z: &[f64], at: usize, formula: impl Fn(&[f64]) -> f64) -> f64 {
    let step = 1e-6;
    let moved = |by: f64| {
        let mut z = z.to_vec();
        z[at] += by;
        formula(&z)
    };
    (moved(step) - moved(-step)) / (2.0 * step)
}
