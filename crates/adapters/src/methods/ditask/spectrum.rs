//! Weights with other singular values.

use polyptych_tensor::Tensor;

use super::cpab::displacement;
use crate::blocks::reweight::Reweight;
use crate::blocks::svd::{Svd, SvdCache};

/// The weight of a layer with the singular values that diffeomorphisms make of its own.
#[derive(Debug)]
pub(super) struct Spectrum {
    /// `[1, theta]`, of the shared stream.
    pub(super) joint: Tensor,
    /// `[theta]` each, of the tasks; empty where they read the shared stream.
    pub(super) tasks: Vec<Tensor>,
    pub(super) free_end: bool,
    svd: SvdCache,
}

impl Spectrum {
    /// `parts` square matrices stand side by side in the weight.
    pub(super) fn new(joint: Tensor, tasks: Vec<Tensor>, parts: i64, free_end: bool) -> Self {
        Self { joint, tasks, free_end, svd: SvdCache::new(parts) }
    }

    fn deltas(&self, weight: &Tensor, theta: &Tensor) -> Tensor {
        deltas(&self.svd.of(weight), &self.knots(theta))
    }

    /// Velocities at all knots; those at the ends of the interval are zero unless the end is free.
    fn knots(&self, theta: &Tensor) -> Tensor {
        theta.constant_pad_nd([1, if self.free_end { 0 } else { 1 }])
    }
}

/// `U diag(f_theta(s) - s) V^T` for `knots`, `[tasks, cells + 1]`: `[tasks, out, in]`.
fn deltas(Svd { u, s, vt }: &Svd, knots: &Tensor) -> Tensor {
    let [parts, k] = s.size()[..] else { unreachable!("s is [parts, k]") };
    let [_, rows, _] = u.size()[..] else { unreachable!("u is [parts, rows, k]") };
    let largest = s.amax([1i64].as_slice(), true);
    let x = (s / largest.clamp_min(f64::MIN_POSITIVE)).flatten(0, 1);
    let moved = displacement(&x, knots).to_kind(s.kind()).view([-1, parts, 1, k]);
    let moved = moved * largest.unsqueeze(-1);
    let deltas = (u * moved).matmul(vt);
    deltas.view([-1, parts * rows, vt.size()[2]])
}

impl Reweight for Spectrum {
    fn shared(&self, weight: &Tensor) -> Tensor {
        weight + self.deltas(weight, &self.joint.unsqueeze(0)).squeeze_dim(0)
    }

    fn tasks(&self, weight: &Tensor) -> Option<Tensor> {
        let theta = || Tensor::stack(&self.tasks, 0);
        (!self.tasks.is_empty()).then(|| weight + self.deltas(weight, &theta()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    fn spectrum(theta: f64, tasks: &[f64], parts: i64) -> Spectrum {
        let draw = |theta: f64| Tensor::full([7], theta, (Kind::Float, Device::Cpu));
        Spectrum::new(draw(theta), tasks.iter().map(|&t| draw(t)).collect(), parts, false)
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// Singular vectors stay; the largest value stays, the others move in order.
    #[test]
    fn singular_values_alone_move() {
        let weight = Tensor::randn([6, 4], (Kind::Float, Device::Cpu));
        let moved = spectrum(0.2, &[], 1).shared(&weight);
        let (u, s, v) = weight.svd(true, true);
        let core = u.tr().matmul(&moved).matmul(&v);
        let values = core.diag(0);
        assert!(largest(&core - Tensor::diag(&values, 0)) < 1e-5);
        assert!(largest(values.get(0) - s.get(0)) < 1e-5);
        assert!(values.get(1).double_value(&[]) > s.get(1).double_value(&[]));
        assert_eq!(spectrum(0.0, &[], 1).shared(&weight), weight);
    }

    #[test]
    fn parts_are_decomposed_apart_and_tasks_of_one_theta_agree() {
        let weight = Tensor::randn([12, 4], (Kind::Float, Device::Cpu));
        let found = spectrum(0.2, &[], 3).shared(&weight);
        for part in 0..3 {
            let rows = |t: &Tensor| t.narrow(0, 4 * part, 4).contiguous();
            let alone = spectrum(0.2, &[], 1).shared(&rows(&weight));
            assert!(largest(rows(&found) - alone) < 1e-5);
        }
        let tasks = spectrum(0.0, &[0.2, -0.1, 0.2], 1).tasks(&weight);
        let tasks = tasks.unwrap_or_default();
        assert!(tasks.get(0).equal(&tasks.get(2)) && !tasks.get(0).equal(&tasks.get(1)));
    }
}
