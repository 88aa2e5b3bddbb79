//! The residual sum at the end of every branch, and how likely the branch is dropped.

use polyptych_tensor::{Activations, Tensor};

/// `x + branch` with stochastic depth of rate `p`, drawn independently for every sample of every
/// stream. A side without task streams stands for each of them.
pub(crate) fn add_branch(
    x: &Activations,
    branch: &Activations,
    p: f64,
    train: bool,
) -> Activations {
    let add = |x: &Tensor, branch: &Tensor| polyptych_tensor::add_branch(x, branch, p, train);
    let per_task = match (&x.per_task, &branch.per_task) {
        (None, None) => None,
        (Some(x), Some(branch)) => Some(over_tasks(x.flatten(0, 1), branch, add)),
        (None, Some(branch)) => Some(over_tasks(x.shared.shallow_clone(), branch, add)),
        (Some(own), None) => {
            let zeros = branch.shared.zeros_like();
            let shared = add(&zeros, &branch.shared);
            return Activations { shared: &x.shared + &shared, per_task: Some(own + shared) };
        }
    };
    match per_task {
        Some(sum) if x.shared.size()[0] == 0 || branch.shared.size()[0] == 0 => {
            Activations::tasks(sum)
        }
        per_task => Activations { shared: add(&x.shared, &branch.shared), per_task },
    }
}

/// `add` with the task axis of `branch` merged into the batch axis.
fn over_tasks(x: Tensor, branch: &Tensor, add: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
    add(&x, &branch.flatten(0, 1)).view(branch.size().as_slice())
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
