//! The test matrices of the field guide to balancing, and comparison with printed numbers.

#![allow(clippy::unwrap_used)]

use ndarray::{Array2, arr2};
use polyptych_tensor::{Kind, Tensor};

use crate::balancers::{
    BalancerConfig, BalancerInfo, BalancerKind, Batch, Gram, GramCombiner, Key, balancers,
};

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
pub(crate) fn batch(losses: &[f64]) -> Batch {
    Batch::full(losses, Key { seed: 3, step: 0 }).unwrap()
}

/// Losses 2, 0.5, 1, as many as there are rows.
pub(crate) fn batch_of(gram: &Gram) -> Batch {
    batch(&[2.0, 0.5, 1.0, 1.5, 1.0, 1.0, 1.0, 1.0][..gram.matrix().nrows()])
}

/// Weights of the first step.
pub(crate) fn weights(combiner: &mut dyn GramCombiner, gram: &Gram) -> Vec<f64> {
    combiner.weights(gram, &batch_of(gram)).unwrap()
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

/// Standard normal rows.
pub(crate) fn random_rows(seed: u64, tasks: usize, columns: usize) -> Array2<f64> {
    let numbers = Key { seed, step: 1 << 40 }.normals(99, tasks * columns);
    Array2::from_shape_vec((tasks, columns), numbers).unwrap()
}

/// All sets of indices below `count` but the empty one.
pub(crate) fn subsets(count: usize) -> Vec<Vec<usize>> {
    (1..1usize << count).map(|mask| (0..count).filter(|j| mask >> j & 1 == 1).collect()).collect()
}

/// Rows as float64 tensor.
pub(crate) fn tensor(rows: &Array2<f64>) -> Tensor {
    let numbers: Vec<f64> = rows.iter().copied().collect();
    Tensor::from_slice(&numbers).view([rows.nrows() as i64, rows.ncols() as i64])
}

/// Numbers of a tensor of any floating type.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Every balancer at its defaults, in the order of the listing.
pub(crate) fn configs() -> Vec<BalancerConfig> {
    let config = |info: &BalancerInfo| {
        let fields = match info.name {
            "dwa" => r#", "epoch_steps": 2"#,
            "stch" => r#", "epoch_steps": 1, "warmup_epochs": 2"#,
            _ => "",
        };
        serde_json::from_str(&format!(r#"{{"name": "{}"{fields}}}"#, info.name)).unwrap()
    };
    let chosen = balancers().iter().filter(|info| info.kind != BalancerKind::Optimiser);
    chosen.map(config).collect()
}
