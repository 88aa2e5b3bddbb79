//! A task as a file of what its backbone differs by, and an ordinary checkpoint of it again.

use std::path::{Path, PathBuf};

use polyptych_adapters::{Form, apply_delta, changed_by};
use polyptych_backbones::ROUNDED_UP;
use polyptych_formats::file;
use polyptych_formats::pth::Choice;
use polyptych_tensor::{Kind, Tensor, Tensors};
use serde::Serialize;

use crate::error::io;
use crate::model::header::header;
use crate::model::trunk::Trunk;
use crate::model::weights::open_weights;
use crate::run::checkpoint::sha256;
use crate::{Error, OpenRun, Result};

/// In the header of such a file: the backbone's weights, and the hash of those that change.
const WEIGHTS: &str = "polyptych.weights";
const FROZEN: &str = "polyptych.frozen_sha256";

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeltaFile {
    /// Where it lies.
    pub file: PathBuf,
    /// The backbone's tensors that differ.
    pub tensors: usize,
    /// The backbone's numbers that differ; of low-rank factors, the factors' own.
    pub numbers: usize,
    /// Its size.
    pub bytes: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeltaReport {
    /// A file for every task that has a copy of the backbone, or one for all.
    pub files: Vec<DeltaFile>,
    /// Numbers of the frozen backbone.
    pub backbone: usize,
    /// Bytes of its checkpoint in float32.
    pub backbone_bytes: usize,
}

/// Writes what the backbones of `run` differ by from the frozen one into the folder `out`:
/// `delta.<task>.safetensors`, or `delta.safetensors` where all tasks share one.
///
/// # Errors
/// A merged model, a method without such a form or that is not ready to merge, a folder that exists
/// or cannot be written.
pub fn save_deltas(run: &OpenRun, out: &Path) -> Result<DeltaReport> {
    let refused = |reason: String| Error::Run { path: run.folder.path().into(), reason };
    if run.form == Form::Merged {
        return Err(refused("expected a trained run, found a merged model".into()));
    }
    if let Some(reason) = run.model.unmergeable() {
        return Err(Error::Unmergeable { path: run.folder.path().into(), reason });
    }
    if out.exists() {
        let reason = "expected a new folder, found one".into();
        return Err(Error::Run { path: out.into(), reason });
    }
    let tensors: Tensors = run.model.store.tensors().into_iter().collect();
    let own = |trunk: &Trunk| -> Result<_> {
        let own = trunk.own(&tensors);
        let delta = trunk.delta(&tensors)?.ok_or_else(|| {
            let method = run.recipe.adapter.name();
            refused(format!(
                "expected a method whose tasks are differences to the frozen weights, such as \
                 diff_pruning or taps, found {method}"
            ))
        })?;
        Ok((trunk.file().replacen("backbone", "delta", 1), own, delta))
    };
    let all = run.model.trunks().iter().map(own).collect::<Result<Vec<_>>>()?;
    std::fs::create_dir_all(out).map_err(io(out))?;
    let write = || {
        let write = |(name, own, delta): &(String, Tensors, Tensors)| {
            write_one(&out.join(name), &run.recipe.backbone.weights, own, delta)
        };
        all.iter().map(write).collect::<Result<Vec<_>>>()
    };
    let files = write().inspect_err(|_| drop(std::fs::remove_dir_all(out)))?;
    let plain = |(name, t): (&String, &Tensor)| {
        (!polyptych_adapters::is_method_parameter(name)).then(|| t.numel())
    };
    let backbone = all[0].1.iter().filter_map(plain).sum();
    Ok(DeltaReport { files, backbone, backbone_bytes: 4 * backbone })
}

fn write_one(path: &Path, weights: &str, frozen: &Tensors, delta: &Tensors) -> Result<DeltaFile> {
    let mut metadata = header();
    metadata.insert(WEIGHTS.into(), weights.into());
    metadata.insert(FROZEN.into(), hash(frozen, delta)?);
    file::save(path, delta, metadata)?;
    let kept = delta.iter().filter(|(name, _)| !name.ends_with(".indices"));
    Ok(DeltaFile {
        file: path.into(),
        tensors: changed_by(delta)?.len(),
        numbers: kept.map(|(_, t)| t.numel()).sum(),
        bytes: std::fs::metadata(path).map_err(io(path))?.len(),
    })
}

/// Adds the difference in `file` to the backbone that it was trained beside, and writes `out`, an
/// ordinary checkpoint under timm's names; the number of tensors that changed.
///
/// `weights` names the backbone, see [`load_backbone`](crate::load_backbone), where it lies elsewhere
/// than in training.
///
/// # Errors
/// A file that is no such difference, another backbone, a file that exists or cannot be written.
pub fn merge_delta(file: &Path, weights: Option<&str>, out: &Path) -> Result<usize> {
    let refused =
        |path: &Path, reason: &str| Error::Run { path: path.into(), reason: reason.into() };
    if out.exists() {
        return Err(refused(out, "expected a new file, found one"));
    }
    let content = file::load(file)?;
    let (Some(named), Some(expected)) =
        (content.metadata.get(WEIGHTS), content.metadata.get(FROZEN))
    else {
        return Err(refused(file, "expected a file of `polyptych delta`, found another"));
    };
    let weights = weights.unwrap_or(named);
    if weights == "none" {
        let reason = "its run began with random values: name a file of its backbone by --weights";
        return Err(refused(file, reason));
    }
    let frozen = open_weights(weights, &Choice::default())?;
    let found = hash(&frozen.tensors, &content.tensors)?;
    if found != *expected {
        let reason = format!(
            "expected the backbone that {} was trained beside, {named}, found another",
            file.display()
        );
        return Err(Error::Weights { name: weights.into(), reason });
    }
    let mut metadata = header();
    if !frozen.rounded_up {
        metadata.remove(ROUNDED_UP.0);
    }
    file::save(out, &apply_delta(&frozen.tensors, &content.tensors)?, metadata)?;
    Ok(changed_by(&content.tensors)?.len())
}

/// Of the frozen numbers that `delta` changes, rounded so that runs of any precision agree.
fn hash(frozen: &Tensors, delta: &Tensors) -> Result<String> {
    let mut bytes = Vec::new();
    for name in changed_by(delta)? {
        let Some(tensor) = frozen.get(&name) else { continue };
        bytes.extend_from_slice(name.as_bytes());
        let flat = tensor.detach().to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let numbers = Vec::<f32>::try_from(&flat.contiguous().view([-1]))?;
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    Ok(sha256(&bytes))
}
