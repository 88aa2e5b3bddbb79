//! Dropout of numbers and of whole samples.

use tch::Tensor;

use crate::kernels;

/// Sets each number to zero with probability `p` in training and scales the rest by `1 / (1 - p)`.
pub fn dropout(x: &Tensor, p: f64, train: bool) -> Tensor {
    if train && p > 0.0 { kernels::dropout(x, p) } else { x.shallow_clone() }
}

/// Stochastic depth: sets whole entries of the leading axis to zero with probability `p` in
/// training and scales the rest by `1 / (1 - p)`.
pub fn drop_path(x: &Tensor, p: f64, train: bool) -> Tensor {
    if !train || p <= 0.0 {
        return x.shallow_clone();
    }
    let keep = 1.0 - p;
    let mut shape = vec![1; x.dim()];
    shape[0] = x.size()[0];
    let mask = Tensor::empty(shape, (x.kind(), x.device())).bernoulli_float_(keep);
    x * (mask / keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn whole_samples_fall_and_the_mean_stays() {
        tch::manual_seed(1);
        let x = Tensor::ones([4000, 3], (Kind::Float, Device::Cpu));
        let y = drop_path(&x, 0.25, true);
        let rows = y.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let fallen = rows.eq(0.0).sum(Kind::Int64).int64_value(&[]);
        let kept = (&rows - 4.0).abs().lt(1e-5).sum(Kind::Int64).int64_value(&[]);
        assert_eq!(fallen + kept, 4000);
        assert!((y.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.05);
        assert!(drop_path(&x, 0.25, false).equal(&x));
        assert!(dropout(&x, 0.5, false).equal(&x));
    }
}
