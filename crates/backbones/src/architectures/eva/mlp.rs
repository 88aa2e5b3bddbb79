//! The perceptron of a block: plain, or gated by SwiGLU in one matrix or two.
//!
//! Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202: `fc2(silu(g(x)) x(x))`.

use polyptych_tensor::{Activations, LayerNorm, Projection, Result, SiteKind};

use super::config::EvaConfig;
use crate::blocks::combine::combine;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::swiglu::{PackedSwiGlu, gated};

/// timm's `mlp`.
#[derive(Debug)]
pub(super) enum EvaMlp {
    /// `fc1`, `fc2`.
    Plain(Mlp),
    /// `fc1`, whose first half is the gate, `fc2`.
    Packed(PackedSwiGlu),
    /// `fc1_g`, `fc1_x`, `norm`, `fc2`.
    Gated {
        gate: Box<dyn Projection>,
        value: Box<dyn Projection>,
        norm: Option<LayerNorm>,
        fc2: Box<dyn Projection>,
    },
}

impl EvaMlp {
    pub(super) fn new(scope: &LayerScope, config: &EvaConfig) -> Result<Self> {
        let (dim, hidden) = (config.embed_dim, config.hidden());
        if !config.swiglu_mlp {
            return Ok(EvaMlp::Plain(Mlp::new(scope, dim, hidden)?));
        }
        if config.is_packed() {
            return Ok(EvaMlp::Packed(PackedSwiGlu::new(scope, dim, hidden)?));
        }
        let first = |name: &str, kind| scope.projection(name, kind, [dim, hidden], true);
        let norm = || LayerNorm::new(&scope.params.pp("norm"), hidden, config.norm_eps);
        Ok(EvaMlp::Gated {
            gate: first("fc1_g", SiteKind::Fc1Gate)?,
            value: first("fc1_x", SiteKind::Fc1)?,
            norm: config.scale_mlp.then(norm).transpose()?,
            fc2: scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
        })
    }

    /// `[.., dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        match self {
            EvaMlp::Plain(mlp) => mlp.forward(x, train),
            EvaMlp::Packed(mlp) => mlp.forward(x, train),
            EvaMlp::Gated { gate, value, norm, fc2 } => {
                let hidden = combine(&gate.forward(x, train), &value.forward(x, train), gated);
                let hidden = match norm {
                    Some(norm) => hidden.map(|t| norm.forward(t)),
                    None => hidden,
                };
                fc2.forward(&hidden, train)
            }
        }
    }
}
