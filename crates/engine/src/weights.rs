//! Where a backbone's values come from.

use std::path::Path;

use polyptych_backbones::pretrained;
use polyptych_tensor::{LoadOptions, LoadReport, Tensors, file};

use crate::model::BACKBONE;
use crate::{Model, Result};

/// Loads `weights` into the backbone of `model`: a shipped `architecture.tag`, a safetensors file
/// with timm's names, or `none`.
///
/// Classifiers and, where the model reads the levels only, final norms stay unused; parameters of
/// the adapter stay at their initial values. Everything else must fit.
///
/// # Errors
/// A file that cannot be read, or tensors that do not fit.
pub fn load_backbone(model: &Model, weights: &str) -> Result<Option<LoadReport>> {
    if weights == "none" {
        return Ok(None);
    }
    let tensors = match pretrained::bytes(weights) {
        Some(bytes) => file::parse(weights, bytes)?.tensors,
        None => file::load(Path::new(weights))?.tensors,
    };
    let named = tensors.into_iter().map(|(name, t)| (format!("{BACKBONE}.{name}"), t));
    let named: Tensors = named.collect();
    let resample = |name: &str, tensor: &polyptych_tensor::Tensor, wanted: &[i64]| {
        model.backbone_config().resample(name, tensor, wanted)
    };
    let options = LoadOptions {
        allow_missing: &["heads.*", "*lora_*"],
        allow_unused: &["backbone.head.*", "backbone.norm.*", "backbone.fc_norm.*"],
        resample: Some(&resample),
    };
    Ok(Some(model.store.load(weights, &named, &options)?))
}
