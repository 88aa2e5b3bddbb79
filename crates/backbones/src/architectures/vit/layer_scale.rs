//! LayerScale: one learned factor per channel at the end of a branch.
//!
//! Touvron et al., "Going deeper with Image Transformers", arXiv 2103.17239, equation 4.

use polyptych_tensor::{Activations, Init, Result, Scope, Tensor, cast};

/// timm's `ls1` or `ls2`.
#[derive(Debug)]
pub(super) struct LayerScale {
    /// `[dim]`.
    gamma: Tensor,
}

impl LayerScale {
    /// Starts with `init` in every channel.
    pub(super) fn new(scope: &Scope, dim: i64, init: f64) -> Result<Self> {
        Ok(Self { gamma: scope.param("gamma", &[dim], Init::Const(init))? })
    }

    /// Scales `[.., dim]`.
    pub(super) fn forward(&self, x: &Activations) -> Activations {
        x.map(|t| t * cast(&self.gamma, t.kind()))
    }
}
