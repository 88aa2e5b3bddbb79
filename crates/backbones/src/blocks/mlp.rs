//! The two-layer perceptron of a block: `fc2(gelu(fc1(x)))`, with the plan's gate, if it has one,
//! between `fc1` and the activation.

use polyptych_kernels::gelu;
use polyptych_tensor::{Activations, Gate, Projection, Result, SiteKind};

use crate::blocks::layer_scope::LayerScope;

/// `[.., dim]` to `[.., hidden]` and back, with the exact GELU between.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: Box<dyn Projection>,
    gate: Option<Box<dyn Gate>>,
    fc2: Box<dyn Projection>,
}

impl Mlp {
    pub(crate) fn new(scope: &LayerScope, dim: i64, hidden: i64) -> Result<Self> {
        Ok(Self {
            fc1: scope.projection("fc1", SiteKind::Fc1, [dim, hidden], true)?,
            gate: scope.gate([dim, hidden])?,
            fc2: scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
        })
    }

    pub(crate) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let Some(gate) = &self.gate else {
            return self.fc1.forward_perceptron(x, self.fc2.as_ref(), train);
        };
        let hidden = gate.forward(x, &self.fc1.forward(x, train), train);
        self.fc2.forward(&hidden.map(gelu), train)
    }
}
