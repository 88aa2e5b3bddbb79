//! The two-layer perceptron of a block: `fc2(gelu(fc1(x)))`, with the plan's gate, if it has one,
//! between `fc1` and the activation.

use polyptych_tensor::{Activations, Gate, Projection, Result, SiteKind, gelu};

use crate::place::Place;

/// `[.., dim]` to `[.., hidden]` and back, with the exact GELU between.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: Box<dyn Projection>,
    gate: Option<Box<dyn Gate>>,
    fc2: Box<dyn Projection>,
}

impl Mlp {
    pub(crate) fn new(place: &Place, dim: i64, hidden: i64) -> Result<Self> {
        Ok(Self {
            fc1: place.projection("fc1", SiteKind::Fc1, [dim, hidden], true)?,
            gate: place.gate([dim, hidden])?,
            fc2: place.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
        })
    }

    pub(crate) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let hidden = self.fc1.forward(x, train);
        let hidden = match &self.gate {
            Some(gate) => gate.forward(x, &hidden, train),
            None => hidden,
        };
        self.fc2.forward(&hidden.map(gelu), train)
    }
}
