//! Gradient clipping by global norm.

use tch::{Device, Kind, Tensor, no_grad};

use polyptych_kernels::{joint_norm, scale_all, scale_all_on_device};

/// Scales all gradients so that their joint norm is at most `max_norm`, and returns the norm
/// before: `g = g * min(1, max_norm / (norm + 1e-6))`, as PyTorch does. The norm is a float64 scalar
/// on the device of the gradients, which nobody waits for.
///
/// A norm that is not finite leaves the gradients as they are; the caller decides about the step.
pub fn clip_grad_norm(params: &[(String, Tensor)], max_norm: f64) -> Tensor {
    let grads: Vec<Tensor> = params.iter().map(|(_, p)| p.grad()).filter(Tensor::defined).collect();
    let norm = joint_norm(&grads);
    if norm.device() != Device::Cpu {
        scale_all_on_device(&grads, &factor_on_device(&norm, max_norm));
        return norm;
    }
    let factor = clip_factor(norm.double_value(&[]), max_norm);
    if factor < 1.0 {
        scale_all(&grads, factor);
    }
    norm
}

/// As [`clip_factor`], a float32 scalar.
fn factor_on_device(norm: &Tensor, max_norm: f64) -> Tensor {
    no_grad(|| {
        let factor = ((norm + 1e-6).reciprocal() * max_norm).clamp_max(1.0);
        factor.where_self(&norm.isfinite(), &factor.ones_like()).to_kind(Kind::Float)
    })
}

/// What [`clip_grad_norm`] multiplies gradients of the joint norm `norm` by, 1 at most.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if norm.is_finite() { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_joint_norm_is_bounded() {
        let make = |v: f32| Tensor::from_slice(&[v]).set_requires_grad(true);
        let params = vec![("a".to_owned(), make(3.0)), ("b".to_owned(), make(4.0))];
        let half_square = |(_, p): &(String, Tensor)| p.square().sum(Kind::Float) / 2.0;
        params.iter().for_each(|p| half_square(p).backward());
        let clipped = |max_norm| clip_grad_norm(&params, max_norm).double_value(&[]);
        assert!((clipped(1.0) - 5.0).abs() < 1e-6);
        assert!((params[0].1.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
        assert!((clipped(10.0) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_factor_on_a_device_is_that_of_numbers() {
        for norm in [0.0, 0.5, 5.0, 1e30, f64::INFINITY, f64::NAN] {
            let found = factor_on_device(&Tensor::from(norm), 2.0).double_value(&[]);
            let expected = clip_factor(norm, 2.0) as f32;
            assert!((found as f32 - expected).abs() <= f32::EPSILON * expected, "{norm}: {found}");
        }
    }

    #[test]
    fn the_joint_norm_is_that_of_one_long_vector() {
        let _drawing = crate::testing::alone();
        let long = Tensor::randn([3, 4099], (Kind::Float, tch::Device::Cpu));
        let all = [long.shallow_clone(), long.narrow(1, 5, 17).to_kind(Kind::BFloat16)];
        let flat: Vec<Tensor> = all.iter().map(|t| t.to_kind(Kind::Double).reshape([-1])).collect();
        let expected = Tensor::cat(&flat, 0).norm().double_value(&[]);
        let norm = |all: &[Tensor]| joint_norm(all).double_value(&[]);
        assert!((norm(&all) / expected - 1.0).abs() < 1e-6);
        assert_eq!(norm(&[]), 0.0);
        assert!(norm(&[long * f64::INFINITY]).is_infinite());
    }
}
