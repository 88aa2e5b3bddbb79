//! The adapted linear layers of ASE.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast};

use super::routing::Routers;
use crate::blocks::low_rank::LowRank;
use crate::blocks::reweight::{beside_frozen, task_rows};

/// `W x + b` and the experts of every task.
#[derive(Debug)]
pub(super) struct AseLinear {
    pub(super) base: Linear,
    /// `[experts, r, in]`.
    pub(super) a: Tensor,
    /// `[experts, out, r]`.
    pub(super) b: Tensor,
    pub(super) routers: Rc<Routers>,
    pub(super) scale: f64,
}

impl Projection for AseLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let tasks = self.routers.weights.len() as i64;
        let u = self.routers.input(&task_rows(x, tasks));
        beside_frozen(&self.base, x, &self.mixture(&u, train))
    }
}

impl AseLinear {
    /// `sum g_i B_i A_i u`, `[tasks, rows, out]`, for `u`: `[tasks, rows, in]`.
    fn mixture(&self, u: &Tensor, train: bool) -> Tensor {
        let weights = self.routers.weights(u, train).unsqueeze(-1) * self.scale;
        let [experts, r, _] = self.a.size()[..] else { unreachable!("a is [experts, r, in]") };
        let low = linear(u, &cast(&self.a.flatten(0, 1), u.kind()), None);
        let low = low.unflatten(-1, [experts, r]) * weights;
        let up = self.b.transpose(0, 1).flatten(1, 2);
        linear(&low.flatten(-2, -1), &cast(&up, u.kind()), None)
    }
}

/// `W x + b + s B A x` for every stream.
#[derive(Debug)]
pub(super) struct LoraLinear {
    pub(super) base: Linear,
    pub(super) factors: LowRank,
    pub(super) scale: f64,
}

impl Projection for LoraLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| self.factors.beside(&self.base, t, self.scale, 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    /// The sum of the definition, expert by expert.
    #[test]
    fn experts_are_mixed_as_defined() {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (experts, tasks) = (5, 2);
        let routers = Routers {
            weights: (0..tasks).map(|_| draw(&[experts, 6])).collect(),
            tokens: (0..tasks).map(|_| draw(&[6])).collect(),
            shared: 2,
            active: 1,
            read: Default::default(),
        };
        let base = Linear { weight: draw(&[4, 6]), bias: Some(draw(&[4])) };
        let (a, b) = (draw(&[experts, 3, 6]), draw(&[experts, 4, 3]));
        let layer = AseLinear { base, a, b, routers: Rc::new(routers), scale: 0.5 };
        let x = draw(&[2, 7, 6]);
        let found = layer.forward(&Activations::Shared(x.shallow_clone()), true);
        for task in 0..tasks {
            let u = &x + &layer.routers.tokens[task];
            let rows = u.flatten(0, 1).unsqueeze(0).expand([tasks as i64, -1, -1], false);
            let gates = layer.routers.weights(&rows, false).get(task as i64).view([2, 7, experts]);
            let mut expected = layer.base.forward(&x);
            for expert in 0..experts {
                let term = u.matmul(&layer.a.get(expert).tr()).matmul(&layer.b.get(expert).tr());
                expected += term * gates.narrow(-1, expert, 1) * 0.5;
            }
            let difference = (found.task(task as i64) - expected).abs().max();
            assert!(difference.double_value(&[]) < 1e-4);
        }
        assert_eq!(layer.routers.loads().map(|loads| loads.size()), Some(vec![2, experts]));
    }
}
