//! Tensors by name, as merging takes and puts them.

use polyptych_tensor::{Error, Kind, Result, Tensor, Tensors};

/// A copy of the map; tensors are shared.
pub(crate) fn copy(tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
}

/// Numbers of a shorter type than float32 in float32, in which factors are multiplied.
pub(crate) fn widened(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor.shallow_clone(),
    }
}

/// Removes and returns the tensor `name`.
pub(crate) fn take(tensors: &mut Tensors, name: &str) -> Result<Tensor> {
    let unknown = || Error::UnknownName { name: name.into() };
    tensors.remove(name).ok_or_else(unknown)
}
