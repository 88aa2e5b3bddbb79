//! The residual sum at the end of every branch, and how likely the branch is dropped.

use polyptych_tensor::Activations::{self, Both, PerTask, Shared};
use polyptych_tensor::Tensor;

/// `x + branch` with stochastic depth of rate `p`, drawn independently for every sample of every
/// stream. A side without task streams stands for each of them.
pub(crate) fn add_branch(
    x: &Activations,
    branch: &Activations,
    p: f64,
    train: bool,
) -> Activations {
    let add = |x: &Tensor, branch: &Tensor| polyptych_tensor::add_branch(x, branch, p, train);
    let per_task = match (x, branch) {
        (Shared(x), Shared(branch)) => return Shared(add(x, branch)),
        (_, Shared(branch)) => return x.add(&Shared(add(&branch.zeros_like(), branch))),
        (Shared(x), Both { per_task: branch, .. } | PerTask(branch)) => {
            over_tasks(x.shallow_clone(), branch, add)
        }
        (
            Both { per_task: x, .. } | PerTask(x),
            Both { per_task: branch, .. } | PerTask(branch),
        ) => over_tasks(x.flatten(0, 1), branch, add),
    };
    match (x.shared(), branch.shared()) {
        (Some(x), Some(branch)) => Both { shared: add(x, branch), per_task },
        _ => PerTask(per_task),
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
        let zero = Shared(ones(&[64, 1]) * 0.0);
        let branch = Both { shared: ones(&[64, 1]), per_task: ones(&[2, 64, 1]) };
        let sum = add_branch(&zero, &branch, 0.5, true);
        assert!(!sum.task(0).equal(&sum.task(1)));
        assert!(!sum.task(0).equal(sum.expect_shared()));
        assert!(add_branch(&zero, &branch, 0.5, false).task(1).equal(&ones(&[64, 1])));
    }
}
