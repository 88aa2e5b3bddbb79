//! What a run needs before its first step, and what is refused then.

use std::path::Path;

use polyptych_adapters::Form;
use polyptych_data::TaskSpec;
use polyptych_distributed::Ranks;
use polyptych_tensor::{Device, Precision, device};

use super::grouping;
use super::ranks::enough_images;
use super::report::Preparation;
use super::standing::versions;
use crate::model::text_weights::load_text;
use crate::model::{experts, plain_pass};
use crate::run::RECIPE;
use crate::run::checkpoint::State;
use crate::run::compose;
use crate::run::data_record::task_differences;
use crate::run::extend::Extended;
use crate::{DataSets, Error, Model, Recipe, Result, load_backbone};

/// Recipe, data, model and its first values; the recipe has what is decided before training.
pub(super) fn prepare(
    recipe: &Recipe,
    ranks: &Ranks,
) -> Result<(Recipe, DataSets, Model, Preparation)> {
    let device = device_of(recipe, ranks)?;
    let old = Extended::open(recipe)?;
    let data = DataSets::open(recipe)?;
    let decided = grouping::decided(recipe.clone(), &data, device)?;
    let recipe = &decided;
    let data = data.part_of(ranks)?;
    enough_images(recipe, &data.train, ranks)?;
    if ranks.is_first() {
        warn(recipe, &data, device);
    }
    let model = Model::new_among(ranks.clone(), recipe, &data.specs, Form::Adapted, device)?;
    // A run that backbone.weights names has a trained text tower too, which stays.
    recipe.text.as_ref().map(|text| load_text(&model, text)).transpose()?;
    let weights = load_backbone(&model, &recipe.backbone)?;
    let extended = old.map(|old| old.load(&model)).transpose()?;
    compose::load(&model, recipe)?;
    let experts = experts::prepare(&model, recipe)?;
    plain_pass::prepare(&model, recipe, &data)?;
    Ok((decided, data, model, Preparation { weights, extended, experts }))
}

/// The device of one of the processes of a machine: each has a GPU of its own where the recipe names
/// none by number.
pub(super) fn device_of(recipe: &Recipe, ranks: &Ranks) -> Result<Device> {
    let first = device::resolve(&recipe.device)?;
    match first {
        Device::Cuda(0) if ranks.are_many() && !recipe.device.contains(':') => {
            Ok(device::resolve(&format!("cuda:{}", ranks.local_rank()))?)
        }
        found => Ok(found),
    }
}

/// Refuses processes that would train other things than the first one.
pub(super) fn same_everywhere(
    ranks: &Ranks,
    recipe: &str,
    data: &DataSets,
    step: u64,
) -> Result<()> {
    ranks.agree("versions", &versions())?;
    ranks.agree("recipe", recipe)?;
    ranks.agree("data sets", &data.record().text())?;
    Ok(ranks.agree("steps done", &step.to_string())?)
}

/// Says what is allowed and hardly ever meant.
fn warn(recipe: &Recipe, data: &DataSets, device: Device) {
    let (batch, images) = (recipe.data.batch_size, data.train.dataset().len());
    if batch > images {
        tracing::warn!(
            "data.batch_size: {batch} is more than the {images} images of data.train: every step \
             learns from all {images}"
        );
    }
    let takes = recipe.adapter.sources().is_some() && recipe.compose.is_none();
    if takes && !Path::new(&recipe.backbone.weights).join(RECIPE).exists() {
        tracing::warn!(
            "adapter: {} takes parameters of finished runs; without compose.runs they are random",
            recipe.adapter.name()
        );
    }
    if recipe.precision == Precision::Fp16 && device == Device::Cpu {
        tracing::warn!(
            "precision: fp16 is slow without a GPU: products of bfloat16 and float32 are what \
             processors have kernels for here, so bf16 and fp32 are several times as fast"
        );
    }
}

/// Refuses fewer steps than are done.
pub(super) fn enough_steps(path: &Path, recipe: &Recipe, done: u64) -> Result<()> {
    let found = recipe.train.steps;
    if found >= done {
        return Ok(());
    }
    let reason = format!("train.steps: expected at least the {done} that are done, found {found}");
    Err(Error::Run { path: path.into(), reason })
}

/// Refuses tasks with other classes than the folder says: all that reads the run counts on them.
pub(super) fn same_tasks(path: &Path, known: &[TaskSpec], found: &[TaskSpec]) -> Result<()> {
    refuse_other_data(path, task_differences(known, found))
}

fn refuse_other_data(path: &Path, differences: Vec<String>) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "the data differ from the run's: {}; restore the data or the manifest, or start a new run \
         from these weights: train a recipe with backbone.weights={}",
        differences.join("; "),
        path.display()
    );
    Err(Error::Run { path: path.into(), reason })
}

/// Refuses data sets that are not those of the checkpoint, and says where versions differ.
pub(super) fn same_data(path: &Path, state: &State, data: &DataSets) -> Result<()> {
    refuse_other_data(path, state.data.differences(data.record()))?;
    if state.versions != versions() {
        tracing::warn!("{}: saved by {}, read by {}", path.display(), state.versions, versions());
    }
    Ok(())
}
