//! A merged model whose linear maps are of int8, checked and measured before it is announced.

mod calibrate;
mod choose;
mod options;

use std::path::Path;

use polyptych_adapters::Form;
use polyptych_formats::file;
use polyptych_tensor::Tensors;

use super::check::check;
use super::merge::{compare, probe};
use crate::error::io;
use crate::model::header::header;
use crate::model::int8::{self, Int8Maps};
use crate::run::quantized::{QUANTIZE, refuse_device};
use crate::run::{MERGE, MERGED_MODEL, require_new};
use crate::training::log::to_json;
use crate::{Error, OpenRun, QuantizeReport, QuantizedLayer, Recipe, Result, RunFolder, to_tensor};
use calibrate::Calibrated;
use choose::{Chosen, choose};

pub use options::QuantizeOptions;

/// Quantises the merged model of `run` and writes it to the folder `out`, which `eval`, `predict`,
/// `serve` and `inspect` open as any merged model.
///
/// Weights of the trunk's plain linear maps become bytes, one scale for each output; inputs become
/// bytes by the range of each token, or by the range that the calibration images have. The maps
/// whose int8 form is furthest from their own on these images stay as they are, as few as let no
/// task lose more than [`QuantizeOptions::max_drop`] on the evaluation data. `note` hears of every
/// step.
///
/// # Errors
/// A model that is not merged, or quantised already; another device than the CPU; no photographs, or
/// one that cannot be read; no map that int8 leaves good enough; a folder that cannot be written.
/// Nothing stays that is not whole.
pub fn quantize(
    run: &OpenRun,
    options: &QuantizeOptions,
    out: &Path,
    note: &mut dyn FnMut(String),
) -> Result<QuantizeReport> {
    refuse(run, options)?;
    require_new(out)?;
    let path = run.folder.path().join(MERGED_MODEL);
    let tensors = file::load(&path)?.tensors;
    let calibrated = Calibrated::of(run, &tensors, options, note)?;
    let chosen = choose(run, &calibrated, options, note)?;
    let written = write(run, options, out, &Subject { tensors, calibrated, chosen });
    run.model.set_int8_maps(&Int8Maps::new());
    written
}

fn refuse(run: &OpenRun, options: &QuantizeOptions) -> Result<()> {
    let path = run.folder.path();
    let refused = |reason: &str| Err(Error::Run { path: path.into(), reason: reason.into() });
    if run.form == Form::Adapted {
        return refused(
            "expected a merged model, found a trained run: run `polyptych merge` first",
        );
    }
    if run.quantized.is_some() {
        return refused("expected a merged model, found a quantised one");
    }
    if !(options.max_drop >= 0.0 && options.max_drop.is_finite()) {
        let reason = format!("expected a number from 0 on, found {}", options.max_drop);
        return Err(Error::Recipe { origin: "quantize".into(), key: "max_drop".into(), reason });
    }
    refuse_device(path, run.model.store.device())
}

/// What is written.
struct Subject {
    tensors: Tensors,
    calibrated: Calibrated,
    chosen: Chosen,
}

impl Subject {
    fn layers(&self) -> Vec<QuantizedLayer> {
        let layer = |(name, error): &(String, f64)| QuantizedLayer {
            name: name.clone(),
            int8: self.chosen.maps.contains_key(name),
            error: *error,
        };
        self.calibrated.errors.iter().map(layer).collect()
    }
}

fn write(
    run: &OpenRun,
    options: &QuantizeOptions,
    out: &Path,
    subject: &Subject,
) -> Result<QuantizeReport> {
    let mut tensors: Tensors =
        subject.tensors.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    int8::store(&subject.chosen.maps, &mut tensors);
    let report = QuantizeReport {
        activations: options.activations,
        max_drop: options.max_drop,
        tasks: subject.chosen.tasks.clone(),
        layers: subject.layers(),
        calibration_images: subject.calibrated.images,
        evaluations: subject.chosen.evaluations,
        bytes_before: bytes(&subject.tensors),
        bytes_after: bytes(&tensors),
    };
    let recipe = Recipe { device: "cpu".into(), ..run.recipe.clone() };
    let folder = RunFolder::create(out, &recipe, &run.folder.specs()?, run.baselines.as_ref())?;
    let filled = fill(run, &folder, &tensors, &report).and_then(|()| read_back(run, out));
    filled.inspect_err(|_| folder.discard())?;
    Ok(report)
}

fn bytes(tensors: &Tensors) -> u64 {
    tensors.values().map(|t| (t.numel() * t.kind().elt_size_in_bytes()) as u64).sum()
}

fn fill(
    run: &OpenRun,
    folder: &RunFolder,
    tensors: &Tensors,
    report: &QuantizeReport,
) -> Result<()> {
    let checkpoints = folder.checkpoints();
    std::fs::remove_dir(&checkpoints).map_err(io(&checkpoints))?;
    let contiguous = tensors.iter().map(|(name, t)| (name.clone(), t.contiguous())).collect();
    file::save(&folder.path().join(MERGED_MODEL), &contiguous, header())?;
    let merge = run.folder.path().join(MERGE);
    let merge = std::fs::read(&merge).map_err(io(&merge))?;
    file::write_aside(&folder.path().join(MERGE), &merge)?;
    Ok(file::write_aside(&folder.path().join(QUANTIZE), to_json(report).as_bytes())?)
}

/// Compares what was written with the model that was measured.
fn read_back(run: &OpenRun, out: &Path) -> Result<()> {
    let written = OpenRun::open(out, false, None)?;
    let images = to_tensor(&probe(run)?.images, run.model.store.device());
    let differences = compare(&written.model, &run.model, &images)?;
    differences.iter().try_for_each(|(key, difference)| check(*difference, key))
}
