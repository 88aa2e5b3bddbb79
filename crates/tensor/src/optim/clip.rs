//! Gradient clipping by global norm.

use tch::{Kind, Tensor};

/// Scales all gradients so that their joint norm is at most `max_norm`, and returns the norm
/// before: `g = g * min(1, max_norm / (norm + 1e-6))`, as PyTorch does.
///
/// A norm that is not finite leaves the gradients as they are; the caller decides about the step.
pub fn clip_grad_norm(params: &[(String, Tensor)], max_norm: f64) -> f64 {
    let grads: Vec<Tensor> = params.iter().map(|(_, p)| p.grad()).filter(Tensor::defined).collect();
    if grads.is_empty() {
        return 0.0;
    }
    tch::no_grad(|| {
        let norms: Vec<Tensor> = grads.iter().map(|g| g.norm().to_kind(Kind::Float)).collect();
        let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
        let factor = clip_factor(norm, max_norm);
        if factor < 1.0 {
            grads.iter().for_each(|g| drop(g.shallow_clone().g_mul_scalar_(factor)));
        }
        norm
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
        assert!((clip_grad_norm(&params, 1.0) - 5.0).abs() < 1e-6);
        assert!((params[0].1.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
        assert!((clip_grad_norm(&params, 10.0) - 1.0).abs() < 1e-5);
    }
}
