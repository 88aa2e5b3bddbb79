//! The perceptron of a block: plain, or gated by SwiGLU as in DINOv2's giant.

use polyptych_tensor::{Activations, Result};

use super::config::VitConfig;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::swiglu::PackedSwiGlu;

/// timm's `mlp`.
#[derive(Debug)]
pub(super) enum VitMlp {
    Plain(Mlp),
    Packed(PackedSwiGlu),
}

impl VitMlp {
    pub(super) fn new(scope: &LayerScope, config: &VitConfig) -> Result<Self> {
        let (dim, hidden) = (config.embed_dim, config.hidden());
        Ok(match config.swiglu_mlp {
            true => VitMlp::Packed(PackedSwiGlu::new(scope, dim, hidden / 2)?),
            false => VitMlp::Plain(Mlp::with_act(scope, dim, hidden, config.act_layer)?),
        })
    }

    /// `[.., dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        match self {
            VitMlp::Plain(mlp) => mlp.forward(x, train),
            VitMlp::Packed(mlp) => mlp.forward(x, train),
        }
    }
}
