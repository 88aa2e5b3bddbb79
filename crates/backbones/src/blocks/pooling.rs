//! From the features of an image to one vector.

use polyptych_tensor::{Activations, LayerNorm};

/// The mean over all places of maps, `[batch, height, width, dim]` to `[batch, dim]`.
pub(crate) fn mean_of_map(features: &Activations) -> Activations {
    features.map(|t| t.mean_dim([1i64, 2].as_slice(), false, t.kind()))
}

/// `x` behind `norm`, or as it is where there is none.
pub(crate) fn normed(norm: Option<&LayerNorm>, x: Activations) -> Activations {
    match norm {
        Some(norm) => x.map(|t| norm.forward(t)),
        None => x,
    }
}
