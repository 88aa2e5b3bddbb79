//! The training loop: step, evaluate, save, stop, go on.
//!
//! Nothing depends on what happened before a step but the checkpointed state: the generator of
//! dropout is seeded anew from seed and step, and batches follow from seed, epoch and index.
//! So `N + N` steps are `2 N` steps, bit for bit on the CPU, where a process has one run at a time:
//! LibTorch's generator is the process's.

mod ahead;
mod dump;
mod further;
mod pass;
mod resident;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use polyptych_adapters::{ExpertLayer, Form};
use polyptych_data::{Batch, TaskSpec};
use polyptych_losses::LossWeights;
use polyptych_metrics::{Baseline, delta_m};
use polyptych_tensor::optim::{AdaTask, AdamW, Optimiser, Sgd, clip_grad_norm, decay_groups};
use polyptych_tensor::{
    Device, GradScaler, LoadOptions, LoadReport, Tensor, Tensors, device, torch_version,
};
use serde::Serialize;
use serde_json::json;

use crate::balance::{Balance, Balanced};
use crate::checkpoint::State;
use crate::error::io;
use crate::extend::Extended;
use crate::log::{Log, to_json};
use crate::run::same_recipe;
use crate::union::Union;
use crate::{
    Baselines, Checkpoint, DataSets, Error, Evaluation, Model, OptimiserRecipe, Peak, Recipe,
    Result, RunFolder, evaluate, experts, load_backbone, to_tensor,
};
pub use dump::{Number, StepDump};
use further::Further;
use pass::Pass;
pub use resident::peak as peak_resident_bytes;

/// What a training step was like.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Weighted sum of the losses, before gradients are combined.
    pub loss: f64,
    /// Loss of every task, not weighted.
    pub losses: BTreeMap<String, f64>,
    /// Joint norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Wall time of the step, its data included.
    pub wall_ms: f64,
    /// Whether the step was skipped because a number was not finite.
    pub skipped: bool,
    /// What the losses were multiplied by in the backward pass; none where `precision` needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Samples that the batch went without, because they are bad.
    #[serde(skip_serializing_if = "is_zero")]
    pub bad_samples: usize,
    /// What is wrong with each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_sample_errors: Vec<String>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Who watches a run, and may stop it.
pub trait Observer {
    /// A step is done.
    fn step(&mut self, report: &StepReport, steps: u64);

    /// An evaluation is done.
    fn evaluated(&mut self, step: u64, evaluation: &Evaluation);

    /// Asked after every step: whether to save and leave.
    fn stop(&self) -> bool;
}

/// How a call of [`Trainer::run`] ended.
#[derive(Debug)]
pub struct TrainOutcome {
    /// Whether all steps are done, or the observer stopped the run.
    pub finished: bool,
    /// Steps done.
    pub step: u64,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
}

/// What was done before the first step.
#[derive(Debug)]
pub struct Preparation {
    /// Where the backbone's values came from; none for random ones.
    pub weights: Option<LoadReport>,
    /// What came from the run that is extended, if one is.
    pub extended: Option<LoadReport>,
    /// The experts that were found in it, for methods that have them.
    pub experts: Vec<ExpertLayer>,
}

/// A run that can be started, stopped and resumed.
pub struct Trainer {
    recipe: Recipe,
    folder: RunFolder,
    data: DataSets,
    model: Model,
    /// Positions of the tasks that learn by a loss of their own, and its weight.
    alone: Vec<usize>,
    weights: Option<LossWeights>,
    union: Option<Union>,
    balance: Option<Balance>,
    further: Vec<Further>,
    optimiser: Box<dyn Optimiser>,
    scaler: Option<GradScaler>,
    /// Trainable parameters that are learnt together; several parts where tasks share none.
    parts: Vec<Vec<(String, Tensor)>>,
    baselines: Option<Vec<Baseline>>,
    state: State,
    device: Device,
    log: Log,
    /// Keeps other trainers out of the folder for as long as this one lives.
    _lock: File,
}

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
        let folder = RunFolder::open(path)?;
        if folder.has_checkpoint()? {
            let checkpoints = folder.checkpoints();
            return Self::go_on(folder, &checkpoints);
        }
        let recipe = folder.recipe()?.0;
        let (data, model, _) = prepare(&recipe)?;
        Self::first(recipe, folder, data, model)
    }

    /// Repeats the step that ended the run in `path` and compares: what it met, and its record.
    ///
    /// # Errors
    /// A run that no step ended.
    pub fn replay(path: &Path) -> Result<(StepDump, StepDump)> {
        let recorded = StepDump::open(path)?;
        let mut trainer = Self::go_on(RunFolder::open(path)?, &dump::folder(path))?;
        let (epoch, first) = trainer.position();
        let batches = trainer.data.train.epoch(epoch, first)?;
        let batch = batches.take(1).next().transpose()?;
        let batch = batch.ok_or_else(|| Error::Run {
            path: dump::folder(path),
            reason: format!("expected a batch for step {}, found none", recorded.step),
        })?;
        let pass = trainer.prepare_step(&batch)?;
        // As the step did: where tasks have copies, those with finite numbers were clipped.
        trainer.clip();
        Ok((
            StepDump::new(
                trainer.state.step,
                &batch,
                &pass.losses,
                &trainer.model.store.trainable(),
            ),
            recorded,
        ))
    }

    fn first(recipe: Recipe, folder: RunFolder, data: DataSets, model: Model) -> Result<Self> {
        let state = State { recipe: folder.recipe()?.1, ..State::default() };
        Self::new(recipe, folder, data, model, state)
    }

    fn go_on(folder: RunFolder, checkpoints: &Path) -> Result<Self> {
        let (recipe, digest) = folder.recipe()?;
        let checkpoint = Checkpoint::open(checkpoints, false)?;
        same_recipe(folder.path(), &checkpoint, &digest)?;
        let device = device::resolve(&recipe.device)?;
        // The run that this one extends may be gone.
        let data = DataSets::open_beside(&recipe, &folder.specs()?)?;
        same_data(folder.path(), &checkpoint.state, &data)?;
        let model = Model::new(&recipe, &data.specs, Form::Adapted, device)?;
        let origin = checkpoints.display().to_string();
        model.store.load(&origin, &checkpoint.model, &LoadOptions::default())?;
        let mut trainer = Self::new(recipe, folder, data, model, checkpoint.state)?;
        trainer.optimiser.restore(&checkpoint.optimiser)?;
        if let Some(union) = &mut trainer.union {
            union.restore(&checkpoint.memory)?;
        }
        if let Some(balance) = &mut trainer.balance {
            balance.restore(&checkpoint.memory)?;
        }
        if let Some(scaler) = &mut trainer.scaler {
            scaler.restore(&checkpoint.memory)?;
        }
        Ok(trainer)
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
        let clones = params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
        let groups = decay_groups(clones, recipe.train.weight_decay);
        let optimiser: Box<dyn Optimiser> = match recipe.train.optimiser {
            OptimiserRecipe::AdamW(config) => Box::new(AdamW::new(config, groups)),
            OptimiserRecipe::Sgd(config) => Box::new(Sgd::new(config, groups)),
            OptimiserRecipe::AdaTask(config) => {
                Box::new(AdaTask::new(config, groups, &recipe.task_names()))
            }
        };
        let union = Union::new(&recipe, &data.specs, model.store.device())?;
        let joins = |index: &usize| union.as_ref().is_some_and(|union| union.joins(*index));
        let learning = model.learning().iter().copied();
        let alone: Vec<usize> = learning.filter(|index| !joins(index)).collect();
        let weight = |&index: &usize| {
            let task = &model.tasks[index];
            (task.spec.name.as_str(), task.recipe.weight)
        };
        let weights = (!alone.is_empty()).then(|| LossWeights::new(alone.iter().map(weight)));
        let weights = weights.transpose()?;
        let balance = Balance::new(&recipe, &params)?;
        let scaler = recipe.precision.scales_losses().then(GradScaler::default);
        let parts = model.parts(&params);
        let further = balance.as_ref().map_or(0, ahead::further_batches);
        let further = (0..further).map(|index| Further::new(&data.train, index)).collect();
        let baselines = folder.baselines()?.and_then(|b| b.of(&recipe.task_names()));
        let log = Log::open(folder.path().join("metrics.jsonl"), state.step)?;
        let device = model.store.device();
        Ok(Self {
            recipe,
            folder,
            data,
            model,
            alone,
            weights,
            union,
            balance,
            further,
            optimiser,
            scaler,
            parts,
            baselines,
            state,
            device,
            log,
            _lock: lock,
        })
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The tasks.
    pub fn specs(&self) -> &[TaskSpec] {
        &self.data.specs
    }

    /// The folder of the run.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Trains to the end, or until the observer asks to stop; both save.
    ///
    /// A run that fails before its first checkpoint removes its folder, unless it says there what
    /// its last step started from.
    ///
    /// # Errors
    /// A sample that cannot be read, numbers that stay not finite, a parameter that gets no
    /// gradient in the first step, or a checkpoint that cannot be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<TrainOutcome> {
        let outcome = self.run_steps(observer);
        let dumped = matches!(outcome, Err(Error::NotFinite { .. }));
        if outcome.is_err() && !dumped && !self.folder.has_checkpoint().unwrap_or(true) {
            self.folder.discard();
        }
        outcome
    }

    fn run_steps(&mut self, observer: &mut dyn Observer) -> Result<TrainOutcome> {
        let steps = self.recipe.train.steps;
        let mut evaluation = self.catch_up(observer)?;
        let mut stopped = false;
        while self.state.step < steps && !stopped {
            let (epoch, first) = self.position();
            let mut started = Instant::now();
            for batch in self.data.train.epoch(epoch, first)? {
                let report = self.step_on(&batch?, &mut started)?;
                observer.step(&report, steps);
                self.log.write(&report)?;
                stopped = observer.stop();
                if self.due(self.recipe.train.eval_every) && !stopped {
                    let done = self.measure()?;
                    observer.evaluated(self.state.step, &done);
                    evaluation = Some(done);
                    started = Instant::now();
                }
                if stopped || self.state.step == steps {
                    break;
                }
            }
        }
        if stopped {
            self.save()?;
        } else if let Some(bytes) = peak_resident_bytes() {
            self.log.write(&json!({"step": steps, "peak_resident_bytes": bytes}))?;
        }
        Ok(TrainOutcome { finished: self.state.step == steps, step: self.state.step, evaluation })
    }

    /// The evaluation that a stop kept the run from.
    fn catch_up(&mut self, observer: &mut dyn Observer) -> Result<Option<Evaluation>> {
        let step = self.state.step;
        if step == 0 || step == self.state.measured || !self.due(self.recipe.train.eval_every) {
            return Ok(None);
        }
        let done = self.measure()?;
        observer.evaluated(step, &done);
        Ok(Some(done))
    }

    /// Epoch, and batch within it, of the next step.
    fn position(&self) -> (u64, usize) {
        let per_epoch = self.data.train.num_batches() as u64;
        (self.state.step / per_epoch, (self.state.step % per_epoch) as usize)
    }

    fn due(&self, every: u64) -> bool {
        let step = self.state.step;
        step == self.recipe.train.steps || step.is_multiple_of(every)
    }

    fn step_on(&mut self, batch: &Batch, started: &mut Instant) -> Result<StepReport> {
        let (step, lr) = (self.state.step, self.lr());
        let pass = self.prepare_step(batch)?;
        if step == 0 && pass.formed {
            self.model.store.check_gradients()?;
        }
        let grad_norm = self.clip();
        let skipped = !pass.loss.is_finite() || !grad_norm.is_finite();
        let loss_scale = self.scaler.as_ref().map(GradScaler::scale);
        let overflowed = skipped && self.scaler.is_some() && pass.losses_are_finite();
        let Pass { loss, losses, balanced, images, .. } = pass;
        if !skipped {
            self.descend(lr, balanced.as_ref(), grad_norm)?;
            balanced.map_or(Ok(()), |balanced| self.learn(&balanced, &images, batch))?;
            self.state.skipped = 0;
        } else if !overflowed || loss_scale.is_some_and(|scale| scale < 1.0) {
            self.skip(batch, &losses)?;
        }
        // No scale mends a forward pass: a loss that is not finite leaves it.
        if let Some(scaler) = self.scaler.as_mut().filter(|_| !skipped || overflowed) {
            scaler.update(!skipped);
        }
        self.advance()?;
        let losses = losses.into_iter().map(|(name, l)| (name, l.double_value(&[]))).collect();
        let wall_ms = started.elapsed().as_secs_f64() * 1e3;
        *started = Instant::now();
        Ok(StepReport {
            step: self.state.step,
            lr,
            loss,
            losses,
            grad_norm,
            wall_ms,
            skipped,
            loss_scale,
            bad_samples: batch.skipped.len(),
            bad_sample_errors: batch.skipped.clone(),
        })
    }

    /// Learning rate of the next step.
    fn lr(&self) -> f64 {
        let train = &self.recipe.train;
        train.lr * train.schedule.factor(self.state.step, train.steps)
    }

    /// Everything of a step but what changes the model: forward and backward.
    fn prepare_step(&mut self, batch: &Batch) -> Result<Pass> {
        let images = to_tensor(&batch.images, self.device);
        if let Some(balance) = &mut self.balance {
            balance.prepare(&self.model, &images)?;
        }
        self.model.set_progress(self.state.step, self.recipe.train.steps);
        self.pass(images, batch, self.lr())
    }

    /// Counts a step that met numbers which are not finite. Ends the run where they are too many in
    /// a row, and keeps what the last one started from.
    fn skip(&mut self, batch: &Batch, losses: &BTreeMap<String, Tensor>) -> Result<()> {
        let (step, count) = (self.state.step, self.state.skipped + 1);
        if count < self.recipe.train.max_skipped {
            self.state.skipped = count;
            return Ok(());
        }
        let path = dump::folder(self.folder.path());
        std::fs::create_dir_all(&path).map_err(io(&path))?;
        self.checkpoint().save(&path, 1)?;
        StepDump::new(step, batch, losses, &self.model.store.trainable())
            .write(self.folder.path())?;
        Err(Error::NotFinite { step: step + 1, what: "loss or gradient".into(), count, path })
    }

    /// The joint norm of the gradients before clipping.
    fn clip(&self) -> f64 {
        let max = self.recipe.train.clip_grad_norm;
        self.parts.iter().map(|part| clip_grad_norm(part, max)).fold(0.0, f64::hypot)
    }

    /// The optimiser's step down the clipped gradients, whose length was `grad_norm`.
    fn descend(&mut self, lr: f64, balanced: Option<&Balanced>, grad_norm: f64) -> Result<()> {
        let (Some(balance), Some(balanced), true) =
            (&self.balance, balanced, self.optimiser.is_by_task())
        else {
            return Ok(self.optimiser.step(lr)?);
        };
        let tasks = balance.by_task(balanced, grad_norm, self.recipe.train.clip_grad_norm);
        Ok(self.optimiser.step_by_task(lr, &tasks)?)
    }

    fn advance(&mut self) -> Result<()> {
        self.state.step += 1;
        let save = self.recipe.train.save_every;
        if self.due(save) && !self.due(self.recipe.train.eval_every) { self.save() } else { Ok(()) }
    }

    fn measure(&mut self) -> Result<Evaluation> {
        let baselines = self.baselines.as_deref();
        self.model.set_progress(self.state.step, self.recipe.train.steps);
        let mut evaluation = evaluate(&self.model, &self.data.eval, baselines, |_| ())?;
        self.note_peaks(&mut evaluation);
        self.log.write(&json!({"step": self.state.step, "evaluation": &evaluation}))?;
        let path = self.folder.path().join("evaluation.json");
        polyptych_tensor::file::write_aside(&path, to_json(&evaluation).as_bytes())?;
        if self.state.reference.is_empty() {
            self.state.reference = evaluation.as_baselines();
        }
        let score = selection(&evaluation, &self.state.reference);
        if self.state.best.is_none_or(|(best, _)| score > best) {
            self.state.best = Some((score, self.state.step));
        }
        self.state.measured = self.state.step;
        self.save()?;
        Ok(evaluation)
    }

    /// Tasks of one run are at their best at different times; the best of each is kept.
    fn note_peaks(&mut self, evaluation: &mut Evaluation) {
        let per_epoch = self.data.train.num_batches() as f64;
        let (step, epoch) = (self.state.step, self.state.step as f64 / per_epoch);
        for task in &mut evaluation.tasks {
            let Some(score) = task.scores.first() else { continue };
            let now = Peak { value: score.value, step, epoch };
            let peak = self.state.peaks.entry(task.task.clone()).or_insert(now);
            let sign = if score.higher_is_better { 1.0 } else { -1.0 };
            if sign * score.value > sign * peak.value {
                *peak = now;
            }
            task.peak = Some(*peak);
        }
    }

    fn save(&self) -> Result<()> {
        let limit = self.recipe.train.save_total_limit;
        self.checkpoint().save(&self.folder.checkpoints(), limit)
    }

    fn checkpoint(&self) -> Checkpoint {
        let model = self.model.store.tensors().into_iter().collect();
        let state = State {
            files: BTreeMap::new(),
            data: self.data.fingerprint().to_owned(),
            versions: versions(),
            ..self.state.clone()
        };
        let mut memory = self.union.as_ref().map_or_else(Tensors::new, Union::state);
        memory.extend(self.balance.as_ref().map_or_else(Tensors::new, Balance::state));
        memory.extend(self.scaler.as_ref().map_or_else(Tensors::new, GradScaler::state));
        Checkpoint { model, optimiser: self.optimiser.state(), memory, state }
    }
}

/// Data, model and its first values.
fn prepare(recipe: &Recipe) -> Result<(DataSets, Model, Preparation)> {
    let device = device::resolve(&recipe.device)?;
    let old = Extended::open(recipe)?;
    let data = DataSets::open(recipe)?;
    let model = Model::new(recipe, &data.specs, Form::Adapted, device)?;
    let weights = load_backbone(&model, &recipe.backbone.weights)?;
    let extended = old.map(|old| old.load(&model)).transpose()?;
    let experts = experts::prepare(&model, recipe)?;
    Ok((data, model, Preparation { weights, extended, experts }))
}

fn versions() -> String {
    format!("polyptych {}, LibTorch {}", env!("CARGO_PKG_VERSION"), torch_version())
}

/// Refuses data sets that are not those of the checkpoint, and says where versions differ.
fn same_data(path: &Path, state: &State, data: &DataSets) -> Result<()> {
    let (expected, found) = (&state.data, data.fingerprint());
    if *expected != found {
        let reason = format!("expected the data sets of the run, {expected}, found {found}");
        return Err(Error::Run { path: path.into(), reason });
    }
    if state.versions != versions() {
        tracing::warn!("{}: saved by {}, read by {}", path.display(), state.versions, versions());
    }
    Ok(())
}

/// What "best" compares: delta-m against the baselines, or against the first evaluation.
fn selection(evaluation: &Evaluation, reference: &[Baseline]) -> f64 {
    if let Some(delta) = &evaluation.delta_m {
        return delta.percent;
    }
    let usable: Vec<Baseline> = reference.iter().filter(|b| b.value != 0.0).cloned().collect();
    let known = |task: &str| usable.iter().any(|b| b.task == task);
    let results: Vec<_> =
        evaluation.headlines().into_iter().filter(|(task, _)| known(task)).collect();
    delta_m(&results, &usable).map_or(0.0, |delta| delta.percent)
}

/// A well-spread seed for one step (SplitMix64's finaliser).
fn seed_of(seed: u64, step: u64) -> i64 {
    let mut z = seed ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as i64
}

#[cfg(test)]
mod tests {
    use polyptych_metrics::DeltaM;

    use super::*;

    #[test]
    fn every_step_has_its_own_seed() {
        let pairs = (0..4).flat_map(|seed| (0..100).map(move |step| seed_of(seed, step)));
        let seeds: std::collections::BTreeSet<i64> = pairs.collect();
        assert_eq!(seeds.len(), 400);
    }

    #[test]
    fn the_best_is_chosen_by_delta_m_where_it_is_known() {
        let mut evaluation = Evaluation { tasks: vec![], delta_m: None };
        assert_eq!(selection(&evaluation, &[]), 0.0);
        evaluation.delta_m = Some(DeltaM { percent: -3.5, terms: vec![] });
        assert_eq!(selection(&evaluation, &[]), -3.5);
    }
}
