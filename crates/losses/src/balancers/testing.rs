//! The test matrices of the field guide to balancing, and comparison with printed numbers.

use ndarray::{Array1, Array2, arr2};
use polyptych_tensor::{Kind, Tensor};
use serde::de::DeserializeOwned;

use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerPart, Method};
use crate::balancers::step_info::StepInfo;
use crate::balancers::step_seed::StepSeed;

/// Two conflicting tasks.
pub(crate) fn rows2() -> Array2<f64> {
    arr2(&[[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
}

/// Three tasks of different lengths, two in conflict.
pub(crate) fn rows3() -> Array2<f64> {
    arr2(&[[1.0, 0.5, 0.0, 0.2], [-0.6, 1.0, 0.3, 0.0], [0.4, -1.6, 2.0, 0.2]])
}

/// Two tasks without conflict.
pub(crate) fn rows_p() -> Array2<f64> {
    arr2(&[[2.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
}

pub(crate) fn gram(rows: &Array2<f64>) -> Gram {
    Gram::new(rows.dot(&rows.t())).unwrap()
}

pub(crate) fn j2() -> Gram {
    gram(&rows2())
}

pub(crate) fn j3() -> Gram {
    gram(&rows3())
}

pub(crate) fn jp() -> Gram {
    gram(&rows_p())
}

/// A step of all tasks.
pub(crate) fn info(losses: &[f64]) -> StepInfo {
    StepInfo::full(losses, StepSeed { seed: 3, step: 0 }).unwrap()
}

/// Losses 2, 0.5, 1, as many as there are task gradients.
pub(crate) fn info_of(gram: &Gram) -> StepInfo {
    info(&[2.0, 0.5, 1.0, 1.5, 1.0, 1.0, 1.0, 1.0][..gram.matrix().nrows()])
}

/// Weights of the first step.
pub(crate) fn weights(aggregator: &mut dyn GramAggregator, gram: &Gram) -> Vec<f64> {
    aggregator.weights(gram, &info_of(gram)).unwrap()
}

/// `d = J^T w`.
pub(crate) fn direction(rows: &Array2<f64>, weights: &[f64]) -> Vec<f64> {
    rows.t().dot(&ndarray::Array1::from_vec(weights.to_vec())).to_vec()
}

/// Equal to six printed digits after the point.
#[track_caller]
pub(crate) fn agree(found: &[f64], printed: &[f64]) {
    let close = found.iter().zip(printed).all(|(one, other)| (one - other).abs() <= 5.1e-7);
    assert!(close && found.len() == printed.len(), "{found:?} is not {printed:?}");
}

/// Equal up to `tolerance` of the largest number.
#[track_caller]
pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    let size = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let close = found.iter().zip(expected).all(|(x, y)| (x - y).abs() <= tolerance * size);
    assert!(close && found.len() == expected.len(), "{found:?} is not {expected:?}");
}

/// Standard normal task gradients.
pub(crate) fn random_rows(seed: u64, tasks: usize, columns: usize) -> Array2<f64> {
    let numbers = StepSeed { seed, step: 1 << 40 }.normals(99, tasks * columns);
    Array2::from_shape_vec((tasks, columns), numbers).unwrap()
}

/// All sets of indices below `count` but the empty one.
pub(crate) fn subsets(count: usize) -> Vec<Vec<usize>> {
    (1..1usize << count).map(|mask| (0..count).filter(|j| mask >> j & 1 == 1).collect()).collect()
}

/// Task gradients as float64 tensor.
pub(crate) fn tensor(rows: &Array2<f64>) -> Tensor {
    let numbers: Vec<f64> = rows.iter().copied().collect();
    Tensor::from_slice(&numbers).view([rows.nrows() as i64, rows.ncols() as i64])
}

/// Numbers of a tensor of any floating type.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// What a balancer says of settings that it refuses.
pub(crate) fn refusal<P: BalancerPart + DeserializeOwned>(json: &str) -> String {
    serde_json::from_str::<P>(json).unwrap().init(2).unwrap_err().to_string()
}

/// Zeros, equal task gradients, opposites, dependent task gradients and lengths that differ by up
/// to 1e12.
pub(crate) fn hard(seed: u64) -> Array2<f64> {
    let mut rows = random_rows(seed, 4, 1 + seed as usize % 4);
    let pick = random_rows(seed + 1, 4, 3);
    for task in 0..4 {
        let other = rows.row((task + 1) % 4).to_owned();
        let scale = 10f64.powf(pick[[task, 2]].clamp(-3.0, 3.0) * 2.0);
        let row = match (pick[[task, 0]] * 10.0).rem_euclid(6.0) as usize {
            0 => Array1::zeros(rows.ncols()),
            1 => other.clone(),
            2 => -other,
            3 => &other * scale,
            _ => rows.row(task).to_owned() * scale,
        };
        rows.row_mut(task).assign(&row);
    }
    rows
}

/// Checks that no task loses by the aggregator's direction, whatever the gradients.
pub(crate) fn never_harms(mut aggregator: impl GramAggregator) {
    for seed in 0..2000 {
        let gram = gram(&hard(seed));
        let w = ndarray::arr1(&weights(&mut aggregator, &gram));
        let longest = gram.norms().fold(0.0, |most: f64, n| most.max(*n));
        let cosines = gram.matrix().dot(&w) / (gram.norms() * longest + 1e-300);
        let worst = cosines.fold(0.0, |least: f64, v| least.min(*v));
        assert!(worst > -1e-6, "{seed}: {worst:e}");
    }
}

/// Directions of three tasks, and of the same with the first gradient ten times as long.
pub(crate) fn of_a_larger_loss(new: impl Fn() -> Method) -> [Vec<f64>; 2] {
    [1.0, 10.0].map(|scale| {
        let rows = rows3() * arr2(&[[scale], [1.0], [1.0]]);
        let Method::Gram(mut aggregator) = new() else { panic!("expected a Gram aggregator") };
        direction(&rows, &weights(&mut *aggregator, &gram(&rows)))
    })
}

pub(crate) fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

pub(crate) fn cosine(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>() / norm(one) / norm(other)
}
