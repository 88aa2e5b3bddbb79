//! A merged model without what its method's constants leave unused.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_adapters::Form;
use polyptych_formats::file;
use polyptych_tensor::{LoadOptions, Tensor, Tensors, no_grad};
use serde::Serialize;

use super::check::check;
use super::merge::{compare, probe};
use crate::error::io;
use crate::model::header::header;
use crate::model::trunk::BACKBONE;
use crate::report::timing::{Spread, alternate, at_least_one, batch};
use crate::run::{MERGE, MERGED_MODEL};
use crate::training::log::to_json;
use crate::{Difference, Error, Model, OpenRun, Recipe, Result, RunFolder, to_tensor};

/// What a model costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Numbers of the whole model.
    pub numbers: usize,
    /// Multiply-adds of the adapted projections for one image.
    pub multiply_adds: u64,
    /// Milliseconds of a forward pass over the batch.
    pub ms: Spread,
}

/// What pruning did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneReport {
    /// Largest difference of raw outputs per task between the pruned model and the trained one, on
    /// the probe batch, in float32.
    pub differences: BTreeMap<String, Difference>,
    /// Images in the probe batch.
    pub probe_images: usize,
    /// The merged model.
    pub before: Cost,
    /// The pruned model.
    pub after: Cost,
    /// Images in the batch that is timed.
    pub images: usize,
    /// Passes of each model, that alternate.
    pub passes: usize,
}

impl PruneReport {
    /// Images in the batch that is timed, where nobody asks for others.
    pub const IMAGES: usize = 8;
    /// Passes of each model, where nobody asks for others.
    pub const PASSES: usize = 31;
}

/// Merges the model of `run`, takes out what constants of its method leave unused, and writes what
/// is left to `out`: a merged model that can be evaluated, asked and served.
///
/// Both are timed over `images` random images, in alternate passes.
///
/// # Errors
/// A run that is merged already, one whose method has nothing to prune or is not ready to merge,
/// a pruned model with other outputs than the trained one, numbers of images or passes that are 0,
/// a folder that cannot be written; nothing stays that is not whole.
pub fn prune(run: &OpenRun, out: &Path, images: usize, passes: usize) -> Result<PruneReport> {
    if run.form == Form::Merged {
        let reason = "expected a trained run, found a merged model".into();
        return Err(Error::Run { path: run.folder.path().into(), reason });
    }
    if let Some(reason) = run.model.unmergeable() {
        return Err(Error::Unmergeable { path: run.folder.path().into(), reason });
    }
    at_least_one("prune", images, passes)?;
    let tensors = run.model.merged()?;
    let (recipe, left) = pruned(run, &tensors)?;
    let in_float32 = run.recipe_in_float32();
    let merged = merged_model(run, &in_float32, &tensors)?;
    let adapter = recipe.adapter.clone();
    let pruned = merged_model(run, &Recipe { adapter, ..in_float32 }, &left)?;
    let seen = to_tensor(&probe(run)?.images, run.model.store.device());
    let differences = compare(&pruned, &run.model_in_float32()?, &seen)?;
    differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
    let times = alternate(&[&merged, &pruned], &batch(run, images), passes)?;
    let one = batch(run, 1);
    let cost = |model: &Model, ms: Spread| -> Result<Cost> {
        let numbers = model.store.tensors().iter().map(|(_, t)| t.numel()).sum();
        Ok(Cost { numbers, multiply_adds: multiply_adds(model, &one)?, ms })
    };
    let (before, after) = (cost(&merged, times[0])?, cost(&pruned, times[1])?);
    let probe_images = seen.size()[0] as usize;
    let report = PruneReport { differences, probe_images, before, after, images, passes };
    write(run, &recipe, (&left, &report), out)?;
    Ok(report)
}

/// The recipe of the pruned model, and its tensors.
fn pruned(run: &OpenRun, tensors: &Tensors) -> Result<(Recipe, Tensors)> {
    let prefix = format!("{BACKBONE}.");
    let (own, others): (Vec<_>, Vec<_>) =
        tensors.iter().partition(|(name, _)| name.starts_with(&prefix));
    let short = |name: &str| name.strip_prefix(&prefix).unwrap_or(name).to_owned();
    let own = own.into_iter().map(|(name, t)| (short(name), t.shallow_clone())).collect();
    let (adapter, left) = run.recipe.adapter.prune(&run.recipe.task_names(), &own)?;
    let left = left.into_iter().map(|(name, t)| (format!("{prefix}{name}"), t));
    let others = others.into_iter().map(|(name, t)| (name.clone(), t.shallow_clone()));
    Ok((Recipe { adapter, ..run.recipe.clone() }, left.chain(others).collect()))
}

fn merged_model(run: &OpenRun, recipe: &Recipe, tensors: &Tensors) -> Result<Model> {
    let device = run.model.store.device();
    let model = Model::new(recipe, &run.folder.specs()?, Form::Merged, device)?;
    model.store.load("merged model", tensors, &LoadOptions::default())?;
    model.store.set_trainable(|_| false);
    Ok(model)
}

/// Those of the method's projections for `image`.
fn multiply_adds(model: &Model, image: &Tensor) -> Result<u64> {
    let taken = || model.trunks().iter().filter_map(|trunk| trunk.plan.multiply_adds()).sum();
    let _: u64 = taken();
    no_grad(|| model.forward(image, false))?;
    Ok(taken())
}

fn write(
    run: &OpenRun,
    recipe: &Recipe,
    (tensors, report): (&Tensors, &PruneReport),
    out: &Path,
) -> Result<()> {
    let folder = RunFolder::create(out, recipe, &run.folder.specs()?, run.baselines.as_ref())?;
    let fill = || -> Result<()> {
        let checkpoints = folder.checkpoints();
        std::fs::remove_dir(&checkpoints).map_err(io(&checkpoints))?;
        file::save(&folder.path().join(MERGED_MODEL), tensors, header())?;
        Ok(file::write_aside(&folder.path().join(MERGE), to_json(report).as_bytes())?)
    };
    fill().inspect_err(|_| folder.discard())
}
