//! Dropout of numbers and of whole samples.

use tch::{Kind, Tensor};

use polyptych_kernels as kernels;

/// Sets each number to zero with probability `p` in training and scales the rest by `1 / (1 - p)`.
pub fn dropout(x: &Tensor, p: f64, train: bool) -> Tensor {
    if train && p > 0.0 { kernels::dropout(x, p) } else { x.shallow_clone() }
}

/// `x + branch` with stochastic depth: whole entries of the branch's leading axis are set to zero
/// with probability `p` in training, and the rest is scaled by `1 / (1 - p)`.
///
/// `branch` is `[n entries, ..]` and `x` `[entries, ..]`, which comes again for every `entries` of
/// the branch.
pub fn add_branch(x: &Tensor, branch: &Tensor, p: f64, train: bool) -> Tensor {
    let keep = 1.0 - p;
    let factors = (train && p > 0.0).then(|| {
        let mut each = Tensor::empty(branch.size()[..1].to_vec(), (Kind::Float, branch.device()));
        each.bernoulli_float_(keep) / keep
    });
    kernels::add_branch(x, branch, factors.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn whole_samples_fall_and_the_mean_stays() {
        let _drawing = crate::testing::alone();
        let x = Tensor::ones([4000, 3], (Kind::Float, Device::Cpu));
        let y = add_branch(&x.zeros_like(), &x, 0.25, true);
        let rows = y.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let fallen = rows.eq(0.0).sum(Kind::Int64).int64_value(&[]);
        let kept = (&rows - 4.0).abs().lt(1e-5).sum(Kind::Int64).int64_value(&[]);
        assert_eq!(fallen + kept, 4000);
        assert!((y.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.05);
        assert!(add_branch(&x.zeros_like(), &x, 0.25, false).equal(&x));
        assert!(dropout(&x, 0.5, false).equal(&x));
    }
}
