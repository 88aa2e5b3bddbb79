//! Where a backbone's values come from.

use std::path::Path;

use polyptych_adapters::PARAMETERS;
use polyptych_backbones::{npz, pretrained, rename};
use polyptych_tensor::{LoadOptions, LoadReport, Tensor, Tensors, file, pth};

use crate::model::BACKBONE;
use crate::{Model, Result};

/// Loads `weights` into the backbone of `model`: a shipped `architecture.tag`, a safetensors or
/// PyTorch file with timm's names, an `.npz` of a published ViT, or `none`.
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
    let named = placed(model, &read_weights(weights)?);
    let resample = |name: &str, tensor: &Tensor, wanted: &[i64]| {
        model.backbone_config().resample(name, tensor, wanted)
    };
    let options = LoadOptions {
        allow_missing: &[&["heads.*"][..], PARAMETERS].concat(),
        allow_unused: &[
            "backbone.head.*",
            "backbone.norm.*",
            "backbone.fc_norm.*",
            "backbone.pre_logits/*",
        ],
        resample: Some(&resample),
    };
    Ok(Some(model.store.load(weights, &named, &options)?))
}

/// `tensors` under the names of the model's store: several, where tasks have copies.
fn placed(model: &Model, tensors: &Tensors) -> Tensors {
    let places = |name: &String| {
        let found: Vec<_> = model.trunks().iter().filter_map(|trunk| trunk.place(name)).collect();
        match found.is_empty() {
            true => vec![format!("{BACKBONE}.{name}")],
            false => found.into_iter().cloned().collect(),
        }
    };
    let placed = |(name, tensor): (&String, &Tensor)| {
        places(name).into_iter().map(|place| (place, tensor.shallow_clone())).collect::<Vec<_>>()
    };
    tensors.iter().flat_map(placed).collect()
}

/// The tensors of a shipped `architecture.tag` or of a file, under timm's names.
pub(crate) fn read_weights(weights: &str) -> Result<Tensors> {
    match pretrained::bytes(weights) {
        Some(bytes) => Ok(file::parse(weights, bytes)?.tensors),
        None => from_file(Path::new(weights)),
    }
}

/// Tensors under timm's names; the content of the file says which format it has.
fn from_file(path: &Path) -> Result<Tensors> {
    if pth::is_pth(path) {
        Ok(pth::load(path)?)
    } else if npz::is_npz(path) {
        Ok(rename::augreg_vit(npz::load(path)?)?)
    } else {
        Ok(file::load(path)?.tensors)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn the_content_says_which_format_a_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let token = Tensor::ones([1, 1, 4], (Kind::Float, Device::Cpu));
        Tensor::write_npz(&[("cls", &token)], &path).unwrap();
        let published = from_file(&path).unwrap();
        file::save(&path, &published, Default::default()).unwrap();
        for tensors in [published, from_file(&path).unwrap()] {
            assert!(tensors.keys().eq(["cls_token"]) && tensors["cls_token"].equal(&token));
        }
        let pickled = include_bytes!("../../tensor/tests/pth/nested_zip.pth");
        std::fs::write(&path, pickled).unwrap();
        assert!(from_file(&path).unwrap().keys().eq(["bias", "empty", "scalar", "weight"]));
        std::fs::write(&path, include_bytes!("../../tensor/tests/pth/bad_system.pth")).unwrap();
        let message = from_file(&path).unwrap_err().to_string();
        assert!(message.contains("weights: `os.system` is neither tensor nor"), "{message}");
        std::fs::write(&path, b"PK\x03\x04 and no archive").unwrap();
        let message = from_file(&path).unwrap_err().to_string();
        assert!(message.contains("weights: archive: "), "{message}");
    }
}
