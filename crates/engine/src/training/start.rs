//! How a run begins: anew, where it was saved last, or at the step that ended it.

use std::path::Path;

use polyptych_adapters::Form;
use polyptych_data::TaskSpec;
use polyptych_tensor::optim::{AdaTask, AdamW, Optimiser, Sgd, decay_groups};
use polyptych_tensor::{Device, LoadOptions, Precision, Tensor, device};

use super::objective::Objective;
use super::save::versions;
use super::{Preparation, StepDump, Trainer, dump};
use crate::model::experts;
use crate::report::provenance::Call;
use crate::report::tracker::Tracker;
use crate::run::checkpoint::State;
use crate::run::data_record::task_differences;
use crate::run::extend::Extended;
use crate::run::{MERGE, RECIPE, allowed, same_recipe};
use crate::training::log::Log;
use crate::{
    Baselines, Change, Checkpoint, DataSets, Error, Model, OptimiserRecipe, Recipe, Result,
    RunFolder, load_backbone, to_tensor,
};

impl Trainer {
    /// Opens data, model and weights, and makes the run folder last, so that a recipe with a
    /// mistake leaves nothing behind.
    ///
    /// # Errors
    /// Whatever recipe, data, weights or folder cause.
    pub fn start(
        recipe: Recipe,
        baselines: Option<&Baselines>,
        path: &Path,
    ) -> Result<(Self, Preparation)> {
        let (data, model, preparation) = prepare(&recipe)?;
        let folder = RunFolder::create(path, &recipe, &data.specs, baselines)?;
        let begin = |folder: RunFolder| Self::first(recipe, folder, data, model);
        let trainer = begin(folder.clone()).inspect_err(|_| folder.discard())?;
        Ok((trainer, preparation))
    }

    /// Opens the run in `path` where it was saved last, or where it starts if it never was.
    ///
    /// # Errors
    /// A folder that is no run, or in which another trainer is at work; a broken checkpoint, one of
    /// another recipe or of other data.
    pub fn resume(path: &Path) -> Result<Self> {
        Ok(Self::resume_with(path, &[])?.0)
    }

    /// As [`Trainer::resume`], with `overrides` of its recipe, such as `train.steps=2000`: numbers
    /// of steps, learning rate and schedule, device, and where the data lie. The learning rate is
    /// that of the new schedule at the step where the run stands.
    ///
    /// Returns what has changed; the run's folder has the new recipe.
    ///
    /// # Errors
    /// As [`Trainer::resume`]; a field that may not change; fewer steps than are done.
    pub fn resume_with(path: &Path, overrides: &[String]) -> Result<(Self, Vec<Change>)> {
        let folder = RunFolder::open(path)?;
        if path.join(MERGE).exists() {
            let reason = format!(
                "expected a run, found a merged model; to learn on from it, train a recipe with \
                 backbone.weights={}",
                path.display()
            );
            return Err(Error::Run { path: path.into(), reason });
        }
        let (old, text) = folder.recipe()?;
        let recipe = Recipe::parse(&path.join(RECIPE).display().to_string(), &text, overrides)?;
        let changes = old.changes(&recipe);
        allowed(path, &changes)?;
        let text = if changes.is_empty() { text } else { recipe.to_toml()? };
        let trainer = if folder.has_checkpoint()? {
            let checkpoints = folder.checkpoints();
            Self::go_on(folder, (recipe, &text), &checkpoints)?
        } else {
            let (data, model, _) = prepare(&recipe)?;
            same_tasks(path, &folder.specs()?, &data.specs)?;
            let state = State { recipe: text.clone(), ..State::default() };
            Self::new(recipe, folder, data, model, state)?
        };
        if !changes.is_empty() {
            trainer.folder.rewrite_recipe(&text)?;
        }
        Ok((trainer, changes))
    }

    /// Repeats the step that ended the run in `path` and compares: what it met, and its record.
    ///
    /// # Errors
    /// A run that no step ended.
    pub fn replay(path: &Path) -> Result<(StepDump, StepDump)> {
        let recorded = StepDump::open(path)?;
        let folder = RunFolder::open(path)?;
        let (recipe, text) = folder.recipe()?;
        let mut trainer = Self::go_on(folder, (recipe, &text), &dump::folder(path))?;
        let (epoch, first) = trainer.position();
        let batches = trainer.data.train.epoch(epoch, first)?;
        let batch = batches.take(1).next().transpose()?;
        let batch = batch.ok_or_else(|| Error::Run {
            path: dump::folder(path),
            reason: format!("expected a batch for step {}, found none", recorded.step),
        })?;
        let images = to_tensor(&batch.images, trainer.device);
        let pass = trainer.backward(&images, &batch)?;
        // As the step did: where tasks have copies, those with finite numbers were clipped.
        trainer.clip();
        let params = trainer.model.store.trainable();
        let met = StepDump::new(trainer.state.step, &batch, pass.numbers(), &params);
        Ok((met, recorded))
    }

    fn first(recipe: Recipe, folder: RunFolder, data: DataSets, model: Model) -> Result<Self> {
        let state = State { recipe: folder.recipe()?.1, ..State::default() };
        Self::new(recipe, folder, data, model, state)
    }

    fn go_on(
        folder: RunFolder,
        (recipe, text): (Recipe, &str),
        checkpoints: &Path,
    ) -> Result<Self> {
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
        let mut trainer = Self::new(recipe, folder, data, model, state)?;
        trainer.remember(&checkpoint)?;
        Ok(trainer)
    }

    fn remember(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.optimiser.restore(&checkpoint.optimiser)?;
        self.objective.restore(&checkpoint.memory)
    }

    fn new(
        recipe: Recipe,
        folder: RunFolder,
        data: DataSets,
        model: Model,
        state: State,
    ) -> Result<Self> {
        let lock = folder.lock()?;
        model.store_frozen();
        let params = model.store.trainable();
        let optimiser = optimiser(&recipe, &params);
        let objective = Objective::new(&recipe, &data.specs, &model, &params, &data.train)?;
        let baselines = folder.baselines()?.and_then(|b| b.of(&recipe.task_names()));
        let (device, step) = (model.store.device(), state.step);
        let call = Call::new(versions(), data.record().text(), format!("{device:?}"), step);
        let log = Log::open(folder.path().join("metrics.jsonl"), step)?
            .followed_by(Tracker::open(&folder, &recipe, call)?);
        Ok(Self {
            parts: model.parts(&params),
            device: model.store.device(),
            recipe,
            folder,
            data,
            model,
            objective,
            optimiser,
            baselines,
            state,
            log,
            _lock: lock,
        })
    }
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

fn optimiser(recipe: &Recipe, params: &[(String, Tensor)]) -> Box<dyn Optimiser> {
    let clones = params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    let groups = decay_groups(clones, recipe.train.weight_decay);
    match recipe.train.optimiser {
        OptimiserRecipe::AdamW(config) => Box::new(AdamW::new(config, groups)),
        OptimiserRecipe::Sgd(config) => Box::new(Sgd::new(config, groups)),
        OptimiserRecipe::AdaTask(config) => {
            Box::new(AdaTask::new(config, groups, &recipe.task_names()))
        }
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
