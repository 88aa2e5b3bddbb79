//! Experts in the MLPs of a backbone: found once, remembered by the weights they were found in.

use std::env;
use std::path::{Path, PathBuf};

use polyptych_adapters::{ExpertLayer, KMeansConfig, construct_experts, method_parameters, moefy};
use polyptych_backbones::{Checkpoint, ROUNDED_UP};
use polyptych_formats::file;
use polyptych_formats::pth::Choice;
use polyptych_tensor::{Device, Kind, LoadOptions, Tensor, Tensors, matches};
use sha2::{Digest, Sha256};

use crate::model::header::header;
use crate::model::trunk::BACKBONE;
use crate::model::weights::open_weights;
use crate::run::checkpoint::read_json;
use crate::training::log::to_json;
use crate::{Model, Recipe, Result};

/// Finds the experts that the adapter of `recipe` asks for in the backbone of `model`, and reorders its hidden
/// units; does nothing for a method without experts.
///
/// What was found is kept in the user's cache folder (`$POLYPTYCH_CACHE`, else below
/// `$XDG_CACHE_HOME` or `~/.cache`), under a hash of weights and options.
///
/// # Errors
/// Experts that do not divide a hidden width, or weights that are not finite.
pub(crate) fn prepare(model: &Model, recipe: &Recipe) -> Result<Vec<ExpertLayer>> {
    let Some((experts, config)) = recipe.adapter.experts() else { return Ok(Vec::new()) };
    let (prefix, parameters) = (format!("{BACKBONE}."), method_parameters());
    let plain = plain_tensors(model);
    // Random values do not come again.
    let cache = if recipe.backbone.weights == "none" { None } else { cache() };
    let layers = remembered(&plain, experts, config, cache.as_deref())?;
    let permuted = moefy(&plain, &layers)?;
    let named = permuted.into_iter().map(|(name, t)| (format!("{prefix}{name}"), t));
    let allow_missing = &[&["heads.*", "decoder.*"][..], &parameters].concat();
    let options = LoadOptions { allow_missing, ..LoadOptions::default() };
    model.store.load("experts", &named.collect(), &options)?;
    Ok(layers)
}

/// The backbone's own tensors that all tasks share, under its names.
pub(crate) fn plain_tensors(model: &Model) -> Tensors {
    let (prefix, parameters) = (format!("{BACKBONE}."), method_parameters());
    let plain = model.store.tensors().into_iter().filter(|(name, _)| !matches(&parameters, name));
    plain.filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t))).collect()
}

/// Writes `weights` (see [`load_backbone`](crate::load_backbone)) to `out` with its hidden units
/// in the order of their experts.
///
/// `progress` hears of every finished MLP with the number of all.
///
/// # Errors
/// A file that cannot be read or written, experts that do not divide a hidden width, or weights
/// that are not finite.
pub fn moefy_file(
    weights: &str,
    experts: usize,
    config: &KMeansConfig,
    out: &Path,
    progress: impl FnMut(&ExpertLayer, usize),
) -> Result<Vec<ExpertLayer>> {
    let Checkpoint { tensors, rounded_up, .. } = open_weights(weights, &Choice::default())?;
    let layers = construct_experts(&tensors, experts, config, progress)?;
    let mut metadata = header();
    if !rounded_up {
        metadata.remove(ROUNDED_UP.0);
    }
    file::save(out, &moefy(&tensors, &layers)?, metadata)?;
    Ok(layers)
}

fn remembered(
    tensors: &Tensors,
    experts: usize,
    config: &KMeansConfig,
    cache: Option<&Path>,
) -> Result<Vec<ExpertLayer>> {
    let path = match cache {
        Some(cache) => {
            Some(cache.join("experts").join(format!("{}.json", key(tensors, experts, config)?)))
        }
        None => None,
    };
    // What cannot be read, or does not fit, is found anew.
    let known = path.as_ref().and_then(|path| read_json::<Vec<ExpertLayer>>(path).ok());
    if let Some(layers) = known.filter(|layers| moefy(tensors, layers).is_ok()) {
        return Ok(layers);
    }
    let layers = construct_experts(tensors, experts, config, |_, _| ())?;
    if let Some(path) = path {
        // A cache that cannot be written costs time alone.
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = folder.map(|()| file::write_aside(&path, to_json(&layers).as_bytes()));
    }
    Ok(layers)
}

/// Hash of all that the experts depend on.
fn key(tensors: &Tensors, experts: usize, config: &KMeansConfig) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(to_json(&(experts, config)));
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.ends_with("mlp.fc1.weight")) {
        hash.update(name);
        for value in values(tensor)? {
            hash.update(value.to_le_bytes());
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    Ok(Vec::try_from(&flat.view([-1]))?)
}

pub(crate) fn cache() -> Option<PathBuf> {
    let var = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let xdg = || var("XDG_CACHE_HOME").map(|dir| dir.join("polyptych"));
    let home = || var("HOME").map(|dir| dir.join(".cache/polyptych"));
    var("POLYPTYCH_CACHE").or_else(xdg).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(last: f32) -> Tensors {
        let mut values: Vec<f32> = (0..48).map(|i| (i as f32 * 2.399).sin()).collect();
        values[47] = last;
        let fc1 = Tensor::from_slice(&values).view([12, 4]);
        let fc2 = fc1.transpose(0, 1).contiguous();
        Tensors::from([("a.mlp.fc1.weight".into(), fc1), ("a.mlp.fc2.weight".into(), fc2)])
    }

    #[test]
    fn experts_are_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = KMeansConfig::default();
        let find = |tensors: &Tensors, experts| {
            remembered(tensors, experts, &config, Some(folder.path())).unwrap()
        };
        let files = || std::fs::read_dir(folder.path().join("experts")).unwrap().count();
        let found = find(&tensors(0.5), 3);
        assert_eq!(files(), 1);
        assert_eq!(find(&tensors(0.5), 3), found);
        assert_eq!(files(), 1);
        find(&tensors(0.25), 3);
        find(&tensors(0.5), 4);
        assert_eq!(files(), 3);
    }

    #[test]
    fn a_damaged_memory_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let (tensors, config) = (tensors(0.5), KMeansConfig::default());
        let find = || remembered(&tensors, 3, &config, Some(folder.path())).unwrap();
        let found = find();
        let entry = std::fs::read_dir(folder.path().join("experts")).unwrap().next().unwrap();
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut twice = found.clone();
        twice[0].order[0] = twice[0].order[1];
        for damage in [text[..20].to_owned(), to_json(&twice)] {
            std::fs::write(&path, damage).unwrap();
            assert_eq!(find(), found);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn without_a_place_to_remember_they_are_found_each_time() {
        let config = KMeansConfig::default();
        let found = remembered(&tensors(0.5), 3, &config, None).unwrap();
        let nowhere = Path::new("/proc/none");
        assert_eq!(remembered(&tensors(0.5), 3, &config, Some(nowhere)).unwrap(), found);
    }
}
