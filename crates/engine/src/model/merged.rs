//! All tensors of a model with everything merged that can be.

use polyptych_tensor::{Kind, Store, Tensor, Tensors};

use crate::Result;
use crate::model::trunk::Trunk;

/// The tensors of `store`, those of `trunks` merged, in float32.
///
/// # Errors
/// A parameter of the method that is absent.
pub(crate) fn merged(store: &Store, trunks: &[Trunk]) -> Result<Tensors> {
    let float = |(name, t): (String, Tensor)| (name, in_float32(&t));
    let stored: Tensors = store.tensors().into_iter().map(float).collect();
    let heads = stored.iter().filter(|(name, _)| name.starts_with("heads."));
    let mut all: Tensors = heads.map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    for trunk in trunks {
        let (prefix, merged) = (trunk.prefix(), trunk.merged(&stored)?);
        all.extend(merged.into_iter().map(|(name, t)| (format!("{prefix}.{name}"), t)));
    }
    Ok(all)
}

/// Numbers of a shorter type than float32 in float32.
fn in_float32(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor.shallow_clone(),
    }
}
