//! All tensors of a model with everything merged that can be.

use polyptych_tensor::{Kind, Store, Tensor, Tensors};

use crate::Result;
use crate::model::fusion::FUSION;
use crate::model::heads::DECODER;
use crate::model::language::LANGUAGE;
use crate::model::text::{TEXT, TextTrunk};
use crate::model::trunk::Trunk;

/// The tensors of `store`, those of `trunks` and `text` merged, in float32.
///
/// # Errors
/// A parameter of the method that is absent.
pub(crate) fn merged(store: &Store, trunks: &[Trunk], text: Option<&TextTrunk>) -> Result<Tensors> {
    let float = |(name, t): (String, Tensor)| (name, in_float32(&t));
    let stored: Tensors = store.tensors().into_iter().map(float).collect();
    let beside = ["heads", DECODER, FUSION, LANGUAGE];
    let kept = |name: &str| beside.contains(&name.split('.').next().unwrap_or_default());
    let heads = stored.iter().filter(|(name, _)| kept(name));
    let mut all: Tensors = heads.map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    for trunk in trunks {
        let (prefix, merged) = (trunk.prefix(), trunk.merged(&stored)?);
        all.extend(merged.into_iter().map(|(name, t)| (format!("{prefix}.{name}"), t)));
    }
    if let Some(text) = text {
        let merged = text.merged(&stored)?;
        all.extend(merged.into_iter().map(|(name, t)| (format!("{TEXT}.{name}"), t)));
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
