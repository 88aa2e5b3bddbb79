//! The two-layer perceptron of a block: `fc2(act(fc1(x)))`, with the plan's gate, if it has one,
//! between `fc1` and the activation.

use polyptych_tensor::{Activations, Gate, Projection, Result, SiteKind};

use crate::blocks::act_layer::ActLayer;
use crate::blocks::layer_scope::LayerScope;

/// `[.., dim]` to `[.., hidden]` and back.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: Box<dyn Projection>,
    gate: Option<Box<dyn Gate>>,
    fc2: Box<dyn Projection>,
    act: ActLayer,
}

impl Mlp {
    /// With the exact GELU between.
    pub(crate) fn new(scope: &LayerScope, dim: i64, hidden: i64) -> Result<Self> {
        Self::with_act(scope, dim, hidden, ActLayer::Gelu)
    }

    /// With `act` between.
    pub(crate) fn with_act(
        scope: &LayerScope,
        dim: i64,
        hidden: i64,
        act: ActLayer,
    ) -> Result<Self> {
        Ok(Self {
            fc1: scope.projection("fc1", SiteKind::Fc1, [dim, hidden], true)?,
            gate: scope.gate([dim, hidden])?,
            fc2: scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
            act,
        })
    }

    pub(crate) fn forward(&self, x: &Activations, train: bool) -> Activations {
        if self.gate.is_none() && self.act == ActLayer::Gelu {
            return self.fc1.forward_perceptron(x, self.fc2.as_ref(), train);
        }
        let hidden = self.fc1.forward(x, train);
        let hidden = match &self.gate {
            Some(gate) => gate.forward(x, &hidden, train),
            None => hidden,
        };
        self.fc2.forward(&hidden.map(|t| self.act.forward(t)), train)
    }
}
