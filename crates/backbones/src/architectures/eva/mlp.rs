//! The perceptron of a block: plain, or gated by SwiGLU in one matrix or two.
//!
//! Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202: `fc2(silu(g(x)) x(x))`.

use polyptych_tensor::{Activations, LayerNorm, Projection, Result, SiteKind, Tensor};

use super::config::EvaConfig;
use crate::blocks::combine::combine;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;

/// timm's `mlp`.
#[derive(Debug)]
pub(super) enum EvaMlp {
    /// `fc1`, `fc2`.
    Plain(Mlp),
    /// `fc1`, whose first half is the gate, `fc2`.
    Packed { fc1: Box<dyn Projection>, fc2: Box<dyn Projection> },
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
        let first = |name: &str, kind, width| scope.projection(name, kind, [dim, width], true);
        let fc2 = || scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true);
        if config.is_packed() {
            let fc1 = first("fc1", SiteKind::Fc1, 2 * hidden)?;
            return Ok(EvaMlp::Packed { fc1, fc2: fc2()? });
        }
        let norm = || LayerNorm::new(&scope.params.pp("norm"), hidden, config.norm_eps);
        Ok(EvaMlp::Gated {
            gate: first("fc1_g", SiteKind::Fc1Gate, hidden)?,
            value: first("fc1_x", SiteKind::Fc1, hidden)?,
            norm: config.scale_mlp.then(norm).transpose()?,
            fc2: fc2()?,
        })
    }

    /// `[.., dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        match self {
            EvaMlp::Plain(mlp) => mlp.forward(x, train),
            EvaMlp::Packed { fc1, fc2 } => {
                let hidden = fc1.forward(x, train).map(|t| {
                    let width = t.size()[t.dim() - 1] / 2;
                    gated(&t.narrow(-1, 0, width), &t.narrow(-1, width, width))
                });
                fc2.forward(&hidden, train)
            }
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

fn gated(gate: &Tensor, value: &Tensor) -> Tensor {
    gate.sigmoid() * gate * value
}
