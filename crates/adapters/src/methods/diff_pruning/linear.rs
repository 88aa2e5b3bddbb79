//! The adapted linear layer: frozen numbers and their differences.

use std::cell::Cell;
use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast, no_grad};

use super::gate::Gates;
use crate::blocks::tensors::widened;

/// The difference of one tensor.
#[derive(Debug)]
pub(super) struct Diff {
    /// `w`, of the tensor's shape.
    pub(super) w: Tensor,
    /// Of the same shape: `alpha` of every number, see [`Gates::alpha`].
    pub(super) alpha: Tensor,
    /// `[1]`: `alpha` of the whole tensor.
    pub(super) group: Tensor,
    /// Of the tensor's shape: 1 for what may differ, once that is chosen.
    pub(super) mask: Tensor,
}

impl Diff {
    pub(super) fn shallow_clone(&self) -> Self {
        let [w, alpha, group, mask] =
            [&self.w, &self.alpha, &self.group, &self.mask].map(Tensor::shallow_clone);
        Self { w, alpha, group, mask }
    }

    /// What the frozen tensor differs by.
    pub(super) fn delta(&self, gates: &Gates, pruned: bool, train: bool) -> Tensor {
        if pruned { &self.w * &self.mask } else { self.gated(gates, train) }
    }

    /// `z_e z_g w`.
    pub(super) fn gated(&self, gates: &Gates, train: bool) -> Tensor {
        let z = |a: &Tensor| gates.z(&gates.alpha(a), train);
        z(&self.alpha) * z(&self.group) * &self.w
    }

    /// How many gates of the tensor are expected not to be 0, its own among them.
    pub(super) fn expected_open(&self, gates: &Gates) -> Tensor {
        let open = |a: &Tensor| gates.expected_open(&gates.alpha(a));
        open(&self.alpha) + open(&self.group)
    }

    /// Goes on from `delta` under `mask`.
    pub(super) fn keep(&self, delta: &Tensor, mask: &Tensor) {
        no_grad(|| {
            self.mask.shallow_clone().copy_(mask);
            self.w.shallow_clone().copy_(&(delta * mask));
        });
    }
}

/// `(W + D) x + b + d`.
#[derive(Debug)]
pub(super) struct DiffLinear {
    pub(super) base: Linear,
    pub(super) weight: Diff,
    pub(super) bias: Option<Diff>,
    pub(super) gates: Gates,
    /// Whether masks were chosen.
    pub(super) pruned: Rc<Cell<bool>>,
}

impl Projection for DiffLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let delta = |diff: &Diff| diff.delta(&self.gates, self.pruned.get(), train);
        let weight = widened(&self.base.weight) + delta(&self.weight);
        let bias = self.base.bias.as_ref().zip(self.bias.as_ref());
        let bias = bias.map(|(bias, diff)| widened(bias) + delta(diff));
        x.map(|t| {
            let bias = bias.as_ref().map(|bias| cast(bias, t.kind()));
            linear(t, &cast(&weight, t.kind()), bias.as_ref())
        })
    }
}
