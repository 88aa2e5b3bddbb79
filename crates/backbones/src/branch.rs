//! The residual sum at the end of every branch, and how likely the branch is dropped.

use polyptych_tensor::{Activations, drop_path};

/// `x + drop_path(branch)` with an independent draw for every sample of every stream.
pub(crate) fn add_branch(
    x: &Activations,
    branch: &Activations,
    p: f64,
    train: bool,
) -> Activations {
    x.add(&branch.map(|t| drop_path(t, p, train)))
}

/// Rate of block `index` of `blocks`: linear from 0 at the first to `rate` at the last.
pub(crate) fn drop_path_rate(rate: f64, index: usize, blocks: usize) -> f64 {
    if blocks < 2 { 0.0 } else { rate * index as f64 / (blocks - 1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, Tensor};

    #[test]
    fn rates_rise_linearly() {
        let rates: Vec<f64> = (0..5).map(|i| drop_path_rate(0.2, i, 5)).collect();
        assert_eq!(rates, [0.0, 0.05, 0.1, 0.2 * 3.0 / 4.0, 0.2]);
        assert_eq!(drop_path_rate(0.2, 0, 1), 0.0);
    }

    #[test]
    fn every_stream_draws_for_itself() {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let zero = Activations::shared(ones(&[64, 1]) * 0.0);
        let branch = Activations { shared: ones(&[64, 1]), per_task: Some(ones(&[2, 64, 1])) };
        let sum = add_branch(&zero, &branch, 0.5, true);
        assert!(!sum.task(0).equal(&sum.task(1)));
        assert!(!sum.task(0).equal(&sum.shared));
        assert!(add_branch(&zero, &branch, 0.5, false).task(1).equal(&ones(&[64, 1])));
    }
}
