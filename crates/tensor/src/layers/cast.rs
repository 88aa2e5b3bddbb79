//! Parameters and activations of one type.

use tch::{Kind, Tensor};

/// The parameter in the type of the activations that it meets; free where they agree.
pub fn cast(parameter: &Tensor, kind: Kind) -> Tensor {
    if parameter.kind() == kind { parameter.shallow_clone() } else { parameter.to_kind(kind) }
}
