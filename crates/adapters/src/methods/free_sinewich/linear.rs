//! The adapted linear layers: low-rank factors for all tasks, and their base switched per task.

use std::rc::Rc;

use polyptych_tensor::{Activations, Linear, Projection, Tensor};

use super::clock::Clock;
use super::sine::switched;
use crate::blocks::low_rank::LowRank;
use crate::blocks::reweight::{streams, task_linear};

/// `W x + b + s B A x` for the shared stream, and where tasks part from it
/// `(W + M_t) x_t + b` for each.
#[derive(Debug)]
pub(super) struct SineLinear {
    pub(super) base: Linear,
    pub(super) factors: LowRank,
    pub(super) scale: f64,
    pub(super) dropout: f64,
    pub(super) tasks: Option<Switch>,
}

/// What switches the base of a layer.
#[derive(Debug)]
pub(super) struct Switch {
    /// `K`, `[r, r]`, or none for the identity.
    pub(super) core: Option<Tensor>,
    pub(super) clock: Rc<Clock>,
    pub(super) low_pass: bool,
}

impl Switch {
    /// `W + M_t`, `[tasks, out, in]`.
    pub(super) fn weights(&self, weight: &Tensor, factors: &LowRank) -> Tensor {
        let base = match &self.core {
            Some(core) => factors.b.matmul(core).matmul(&factors.a),
            None => factors.b.matmul(&factors.a),
        };
        weight + switched(&base, &self.clock.frequencies(), self.low_pass)
    }
}

impl Projection for SineLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let dropout = if train { self.dropout } else { 0.0 };
        let shared = |t: &Tensor| self.factors.beside(&self.base, t, self.scale, dropout);
        let Some(switch) = &self.tasks else { return x.map(shared) };
        let weights = switch.weights(&self.base.weight, &self.factors);
        streams(x.shared().map(shared), task_linear(x, &weights, self.base.bias.as_ref()))
    }
}
