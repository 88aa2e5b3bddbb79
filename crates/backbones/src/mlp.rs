//! The two-layer perceptron of a block: `fc2(gelu(fc1(x)))`.

use polyptych_tensor::{Activations, Projection, Result, SiteKind};

use crate::place::Place;

/// `[.., dim]` to `[.., hidden]` and back, with the exact GELU between.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: Box<dyn Projection>,
    fc2: Box<dyn Projection>,
}

impl Mlp {
    pub(crate) fn new(place: &Place, dim: i64, hidden: i64) -> Result<Self> {
        Ok(Self {
            fc1: place.projection("fc1", SiteKind::Fc1, [dim, hidden], true)?,
            fc2: place.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
        })
    }

    pub(crate) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let hidden = self.fc1.forward(x, train).map(|t| t.gelu("none"));
        self.fc2.forward(&hidden, train)
    }
}
