//! The layers that backbones, adapters and heads are made of.

mod batch_norm;
mod conv;
mod drop;
mod layer_norm;
mod linear;

pub use batch_norm::BatchNorm2d;
pub use conv::Conv2d;
pub use drop::{add_branch, dropout};
pub use layer_norm::LayerNorm;
pub use linear::Linear;

use tch::{Kind, Tensor};

/// The parameter in the type of the activations that it meets; free where they agree.
pub fn cast(parameter: &Tensor, kind: Kind) -> Tensor {
    if parameter.kind() == kind { parameter.shallow_clone() } else { parameter.to_kind(kind) }
}
