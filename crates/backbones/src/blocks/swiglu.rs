//! A perceptron gated by SwiGLU whose gate and value come from one matrix.
//!
//! Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202: `fc2(silu(g) v)` with
//! `[g, v] = fc1(x)`, timm's `SwiGLUPacked`.

use polyptych_tensor::{Activations, Projection, Result, SiteKind, Tensor};

use crate::blocks::layer_scope::LayerScope;

/// `[.., dim]` to `[.., 2 * hidden]`, of which the first half is the gate, and back.
#[derive(Debug)]
pub(crate) struct PackedSwiGlu {
    fc1: Box<dyn Projection>,
    fc2: Box<dyn Projection>,
}

impl PackedSwiGlu {
    pub(crate) fn new(scope: &LayerScope, dim: i64, hidden: i64) -> Result<Self> {
        Ok(Self {
            fc1: scope.projection("fc1", SiteKind::Fc1, [dim, 2 * hidden], true)?,
            fc2: scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
        })
    }

    pub(crate) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let hidden = self.fc1.forward(x, train).map(|t| {
            let width = t.size()[t.dim() - 1] / 2;
            gated(&t.narrow(-1, 0, width), &t.narrow(-1, width, width))
        });
        self.fc2.forward(&hidden, train)
    }
}

/// `silu(gate) value`, element by element.
pub(crate) fn gated(gate: &Tensor, value: &Tensor) -> Tensor {
    gate.sigmoid() * gate * value
}
