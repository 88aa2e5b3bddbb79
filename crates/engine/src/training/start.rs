//! How a run begins: anew, where it was saved last, or at the step that ended it.

use std::fs::File;
use std::path::Path;

use polyptych_adapters::Form;
use polyptych_distributed::Ranks;
use polyptych_metrics::Baseline;
use polyptych_tensor::LoadOptions;

use super::dump;
use super::learner::Learner;
use super::prepare::{device_of, enough_steps, prepare, same_data, same_everywhere, same_tasks};
use super::ranks::enough_images;
use super::report::Preparation;
use super::standing::{Standing, versions};
use crate::report::provenance::Call;
use crate::report::tracker::Tracker;
use crate::run::checkpoint::State;
use crate::run::quantized::refuse_training;
use crate::run::{MERGE, RECIPE, allowed, same_recipe};
use crate::training::log::Log;
use crate::{Baselines, Change, Checkpoint, DataSets, Error, Model, Recipe, Result, RunFolder};

/// A run that is open for training.
pub(super) struct OpenedRun {
    pub(super) recipe: Recipe,
    pub(super) data: DataSets,
    pub(super) learner: Learner,
    pub(super) standing: Standing,
    pub(super) baselines: Option<Vec<Baseline>>,
    pub(super) log: Log,
    /// Keeps other trainers out of the folder for as long as this one lives.
    /// Held by the first of several processes.
    _lock: Option<File>,
}

/// Opens data, model and weights, and makes the run folder last.
///
/// # Errors
/// Whatever recipe, data, weights or folder cause.
pub(super) fn start(
    ranks: &Ranks,
    recipe: Recipe,
    baselines: Option<&Baselines>,
    path: &Path,
) -> Result<(OpenedRun, Preparation)> {
    refuse_stages(&recipe)?;
    let (recipe, data, model, preparation) = prepare(&recipe, ranks)?;
    same_everywhere(ranks, &recipe.to_toml()?, &data, 0)?;
    if !ranks.is_first() {
        // The folder is there once the first process says so.
        ranks.barrier()?;
        return Ok((first(recipe, RunFolder::open(path)?, data, model)?, preparation));
    }
    let folder = RunFolder::create(path, &recipe, &data.specs, baselines)?;
    let begin = |folder: RunFolder| -> Result<OpenedRun> {
        ranks.barrier()?;
        first(recipe, folder, data, model)
    };
    let run = begin(folder.clone()).inspect_err(|_| folder.discard())?;
    Ok((run, preparation))
}

/// Opens the run in `path` where it stands, with `overrides` of its recipe, and says what has
/// changed; the folder has the new recipe.
///
/// # Errors
/// A folder that is no run, or in which another trainer is at work; a broken checkpoint, one of
/// another recipe or of other data; a field that may not change; fewer steps than are done.
pub(super) fn resume(
    ranks: &Ranks,
    path: &Path,
    overrides: &[String],
) -> Result<(OpenedRun, Vec<Change>)> {
    let folder = RunFolder::open(path)?;
    refuse_merged(path)?;
    let (old, text) = folder.recipe()?;
    let recipe = Recipe::parse(&path.join(RECIPE).display().to_string(), &text, overrides)?;
    let changes = old.changes(&recipe);
    allowed(path, &changes)?;
    let text = if changes.is_empty() { text } else { recipe.to_toml()? };
    let run = if folder.has_checkpoint()? {
        let checkpoints = folder.checkpoints();
        go_on(ranks, folder, recipe, &text, &checkpoints)?
    } else {
        let (recipe, data, model, _) = prepare(&recipe, ranks)?;
        same_tasks(path, &folder.specs()?, &data.specs)?;
        let state = State { recipe: text.clone(), ..State::default() };
        OpenedRun::new(recipe, folder, data, model, state)?
    };
    // All have read it then.
    same_everywhere(ranks, &text, &run.data, run.standing.state.step)?;
    if !changes.is_empty() && ranks.is_first() {
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
    go_on(Ranks::ALONE, folder, recipe, &text, &dump::folder(path))
}

fn first(recipe: Recipe, folder: RunFolder, data: DataSets, model: Model) -> Result<OpenedRun> {
    let state = State { recipe: folder.recipe()?.1, ..State::default() };
    OpenedRun::new(recipe, folder, data, model, state)
}

/// Goes on from the newest of `checkpoints`; `text` is that of `recipe`.
fn go_on(
    ranks: &Ranks,
    folder: RunFolder,
    recipe: Recipe,
    text: &str,
    checkpoints: &Path,
) -> Result<OpenedRun> {
    let mut checkpoint = Checkpoint::open(checkpoints, false)?;
    same_recipe(folder.path(), &checkpoint, text)?;
    enough_steps(folder.path(), &recipe, checkpoint.state.step)?;
    let device = device_of(&recipe, ranks)?;
    // The run that this one extends may be gone.
    let specs = folder.specs()?;
    let data = DataSets::open_beside(&recipe, &specs)?;
    same_data(folder.path(), &checkpoint.state, &data)?;
    same_tasks(folder.path(), &specs, &data.specs)?;
    let data = data.part_of(ranks)?;
    enough_images(&recipe, &data.train, ranks)?;
    let model = Model::new_among(ranks.clone(), &recipe, &data.specs, Form::Adapted, device)?;
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
        let writes = model.ranks.is_first();
        let lock = writes.then(|| folder.lock()).transpose()?;
        let (device, step) = (model.store.device(), state.step);
        let learner = Learner::new(&recipe, &data, model)?;
        let baselines = folder.baselines()?.and_then(|b| b.of(&recipe.task_names()));
        let (versions, record) = (versions(), data.record().text());
        let call = Call::new(&learner.model.ranks, versions, record, format!("{device:?}"), step);
        let log = match writes {
            true => Log::open(folder.path().join("metrics.jsonl"), step)?
                .of_stage(recipe.stage_name.clone())
                .followed_by(Tracker::open(&folder, &recipe, call)?),
            false => Log::silent(),
        };
        let standing = Standing::new(folder, &recipe, &data, state);
        Ok(Self { recipe, data, learner, standing, baselines, log, _lock: lock })
    }
}

/// Refuses a recipe whose stages would be left out.
fn refuse_stages(recipe: &Recipe) -> Result<()> {
    if recipe.stage.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "expected one stage, found {}: start a `StagedRun`, which trains one after the other",
        recipe.stage.len()
    );
    Err(Error::Recipe { origin: recipe.name.clone(), key: "stage".into(), reason })
}

/// Refuses a merged model, which has nothing to go on from.
fn refuse_merged(path: &Path) -> Result<()> {
    if !path.join(MERGE).exists() {
        return Ok(());
    }
    refuse_training(path)?;
    let reason = format!(
        "expected a run, found a merged model; to learn on from it, train a recipe with \
         backbone.weights={}",
        path.display()
    );
    Err(Error::Run { path: path.into(), reason })
}
