//! How a run begins: anew, where it was saved last, or at the step that ended it.

use std::fs::File;
use std::path::Path;

use polyptych_adapters::Form;
use polyptych_data::TaskSpec;
use polyptych_metrics::Baseline;
use polyptych_tensor::{Device, LoadOptions, Precision, device};

use super::dump;
use super::learner::Learner;
use super::report::Preparation;
use super::standing::{Standing, versions};
use crate::model::experts;
use crate::report::provenance::Call;
use crate::report::tracker::Tracker;
use crate::run::checkpoint::State;
use crate::run::data_record::task_differences;
use crate::run::extend::Extended;
use crate::run::{MERGE, RECIPE, allowed, same_recipe};
use crate::training::log::Log;
use crate::{
    Baselines, Change, Checkpoint, DataSets, Error, Model, Recipe, Result, RunFolder, load_backbone,
};

/// A run that is open for training.
pub(super) struct OpenedRun {
    pub(super) recipe: Recipe,
    pub(super) data: DataSets,
    pub(super) learner: Learner,
    pub(super) standing: Standing,
    pub(super) baselines: Option<Vec<Baseline>>,
    pub(super) log: Log,
    /// Keeps other trainers out of the folder for as long as this one lives.
    _lock: File,
}

/// Opens data, model and weights, and makes the run folder last.
///
/// # Errors
/// Whatever recipe, data, weights or folder cause.
pub(super) fn start(
    recipe: Recipe,
    baselines: Option<&Baselines>,
    path: &Path,
) -> Result<(OpenedRun, Preparation)> {
    let (data, model, preparation) = prepare(&recipe)?;
    let folder = RunFolder::create(path, &recipe, &data.specs, baselines)?;
    let run = first(recipe, folder.clone(), data, model).inspect_err(|_| folder.discard())?;
    Ok((run, preparation))
}

/// Opens the run in `path` where it stands, with `overrides` of its recipe, and says what has
/// changed; the folder has the new recipe.
///
/// # Errors
/// A folder that is no run, or in which another trainer is at work; a broken checkpoint, one of
/// another recipe or of other data; a field that may not change; fewer steps than are done.
pub(super) fn resume(path: &Path, overrides: &[String]) -> Result<(OpenedRun, Vec<Change>)> {
    let folder = RunFolder::open(path)?;
    refuse_merged(path)?;
    let (old, text) = folder.recipe()?;
    let recipe = Recipe::parse(&path.join(RECIPE).display().to_string(), &text, overrides)?;
    let changes = old.changes(&recipe);
    allowed(path, &changes)?;
    let text = if changes.is_empty() { text } else { recipe.to_toml()? };
    let run = if folder.has_checkpoint()? {
        let checkpoints = folder.checkpoints();
        go_on(folder, recipe, &text, &checkpoints)?
    } else {
        let (data, model, _) = prepare(&recipe)?;
        same_tasks(path, &folder.specs()?, &data.specs)?;
        let state = State { recipe: text.clone(), ..State::default() };
        OpenedRun::new(recipe, folder, data, model, state)?
    };
    if !changes.is_empty() {
        run.standing.folder.rewrite_recipe(&text)?;
    }
    Ok((run, changes))
}

/// Opens the run in `path` before the step that ended it.
///
/// # Errors
/// As [`resume`].
pub(super) fn at_dump(path: &Path) -> Result<OpenedRun> {
    let folder = RunFolder::open(path)?;
    let (recipe, text) = folder.recipe()?;
    go_on(folder, recipe, &text, &dump::folder(path))
}

fn first(recipe: Recipe, folder: RunFolder, data: DataSets, model: Model) -> Result<OpenedRun> {
    let state = State { recipe: folder.recipe()?.1, ..State::default() };
    OpenedRun::new(recipe, folder, data, model, state)
}

/// Goes on from the newest of `checkpoints`; `text` is that of `recipe`.
fn go_on(folder: RunFolder, recipe: Recipe, text: &str, checkpoints: &Path) -> Result<OpenedRun> {
    let mut checkpoint = Checkpoint::open(checkpoints, false)?;
    same_recipe(folder.path(), &checkpoint, text)?;
    enough_steps(folder.path(), &recipe, checkpoint.state.step)?;
    let device = device::resolve(&recipe.device)?;
    // The run that this one extends may be gone.
    let specs = folder.specs()?;
    let data = DataSets::open_beside(&recipe, &specs)?;
    same_data(folder.path(), &checkpoint.state, &data)?;
    same_tasks(folder.path(), &specs, &data.specs)?;
    let model = Model::new(&recipe, &data.specs, Form::Adapted, device)?;
    let origin = checkpoints.display().to_string();
    model.refuse_rounded_down(&origin, checkpoint.rounded_up)?;
    model.store.load(&origin, &checkpoint.model, &LoadOptions::default())?;
    let mut state = std::mem::take(&mut checkpoint.state);
    text.clone_into(&mut state.recipe);
    let mut run = OpenedRun::new(recipe, folder, data, model, state)?;
    run.learner.restore(&checkpoint)?;
    Ok(run)
}

impl OpenedRun {
    fn new(
        recipe: Recipe,
        folder: RunFolder,
        data: DataSets,
        model: Model,
        state: State,
    ) -> Result<Self> {
        let lock = folder.lock()?;
        let (device, step) = (model.store.device(), state.step);
        let learner = Learner::new(&recipe, &data, model)?;
        let baselines = folder.baselines()?.and_then(|b| b.of(&recipe.task_names()));
        let call = Call::new(versions(), data.record().text(), format!("{device:?}"), step);
        let log = Log::open(folder.path().join("metrics.jsonl"), step)?
            .followed_by(Tracker::open(&folder, &recipe, call)?);
        let standing = Standing::new(folder, &recipe, &data, state);
        Ok(Self { recipe, data, learner, standing, baselines, log, _lock: lock })
    }
}

/// Refuses a merged model, which has nothing to go on from.
fn refuse_merged(path: &Path) -> Result<()> {
    if !path.join(MERGE).exists() {
        return Ok(());
    }
    let reason = format!(
        "expected a run, found a merged model; to learn on from it, train a recipe with \
         backbone.weights={}",
        path.display()
    );
    Err(Error::Run { path: path.into(), reason })
}

/// Data, model and its first values.
fn prepare(recipe: &Recipe) -> Result<(DataSets, Model, Preparation)> {
    let device = device::resolve(&recipe.device)?;
    let old = Extended::open(recipe)?;
    let data = DataSets::open(recipe)?;
    warn(recipe, &data, device);
    let model = Model::new(recipe, &data.specs, Form::Adapted, device)?;
    let weights = load_backbone(&model, &recipe.backbone)?;
    let extended = old.map(|old| old.load(&model)).transpose()?;
    let experts = experts::prepare(&model, recipe)?;
    Ok((data, model, Preparation { weights, extended, experts }))
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
    if recipe.precision == Precision::Fp16 && device == Device::Cpu {
        tracing::warn!(
            "precision: fp16 is slow without a GPU: products of bfloat16 and float32 are what \
             processors have kernels for here, so bf16 and fp32 are several times as fast"
        );
    }
}

/// Refuses fewer steps than are done.
fn enough_steps(path: &Path, recipe: &Recipe, done: u64) -> Result<()> {
    let found = recipe.train.steps;
    if found >= done {
        return Ok(());
    }
    let reason = format!("train.steps: expected at least the {done} that are done, found {found}");
    Err(Error::Run { path: path.into(), reason })
}

/// Refuses tasks with other classes than the folder says: all that reads the run counts on them.
fn same_tasks(path: &Path, known: &[TaskSpec], found: &[TaskSpec]) -> Result<()> {
    refuse_other_data(path, task_differences(known, found))
}

fn refuse_other_data(path: &Path, differences: Vec<String>) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "the data are not those of the run: {}; bring them or their manifest back, or begin a new \
         run with the values of this one: train a recipe with backbone.weights={}",
        differences.join("; "),
        path.display()
    );
    Err(Error::Run { path: path.into(), reason })
}

/// Refuses data sets that are not those of the checkpoint, and says where versions differ.
fn same_data(path: &Path, state: &State, data: &DataSets) -> Result<()> {
    refuse_other_data(path, state.data.differences(data.record()))?;
    if state.versions != versions() {
        tracing::warn!("{}: saved by {}, read by {}", path.display(), state.versions, versions());
    }
    Ok(())
}
