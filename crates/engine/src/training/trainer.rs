//! The training loop: step, evaluate, save, stop, go on.

use std::path::Path;
use std::time::Instant;

use ndarray::Array4;
use polyptych_data::{Batch, TaskSpec};
use polyptych_distributed::Ranks;
use polyptych_formats::file;
use polyptych_tensor::memory;
use serde_json::json;

use super::dump::{self, StepDump};
use super::learner::Gradients;
use super::log::{Baselines, to_json};
use super::ranks::{ByRank, RankReport, pictures_of_all};
use super::report::{Observer, Preparation, StepReport, TrainOutcome, lap};
use super::start::{self, OpenedRun};
use crate::error::io;
use crate::report::samples::SamplePicker;
use crate::{Change, Error, Evaluation, Model, Recipe, Result, RunFolder, evaluate_watched};

/// A run that can be started, stopped and resumed.
pub struct Trainer {
    run: OpenedRun,
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
        Self::start_among(Ranks::ALONE, recipe, baselines, path)
    }

    /// As [`Trainer::start`], as one of several processes, each of which goes through its part of
    /// every batch; the first one writes.
    ///
    /// # Errors
    /// As [`Trainer::start`], of any process; processes whose recipe, data or versions differ.
    pub fn start_among(
        ranks: &Ranks,
        recipe: Recipe,
        baselines: Option<&Baselines>,
        path: &Path,
    ) -> Result<(Self, Preparation)> {
        let (run, preparation) = ranks.heard(start::start(ranks, recipe, baselines, path))?;
        Ok((Self { run }, preparation))
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
        Self::resume_among(Ranks::ALONE, path, overrides)
    }

    /// As [`Trainer::resume_with`], as one of several processes, however many the run had before.
    ///
    /// # Errors
    /// As [`Trainer::resume_with`], of any process; processes whose recipe, data or versions differ.
    pub fn resume_among(
        ranks: &Ranks,
        path: &Path,
        overrides: &[String],
    ) -> Result<(Self, Vec<Change>)> {
        let (run, changes) = ranks.heard(start::resume(ranks, path, overrides))?;
        Ok((Self { run }, changes))
    }

    /// Repeats the step that ended the run in `path` and compares: what it met, and its record.
    ///
    /// # Errors
    /// A run that no step ended.
    pub fn replay(path: &Path) -> Result<(StepDump, StepDump)> {
        let recorded = StepDump::open(path)?;
        let mut run = start::at_dump(path)?;
        let (epoch, first) = run.standing.position();
        let batch = run.data.train.epoch(epoch, first)?.take(1).next().transpose()?;
        let batch = batch.ok_or_else(|| Error::Run {
            path: dump::folder(path),
            reason: format!("expected a batch for step {}, found none", recorded.step),
        })?;
        let step = run.standing.state.step;
        // As the step did: where tasks have copies, those with finite numbers were clipped.
        let found = run.learner.gradients(step, &batch)?;
        let params = run.learner.model.store.trainable();
        Ok((StepDump::new(step, &batch, found.numbers.losses, &params), recorded))
    }

    /// The model as it is now.
    pub fn model(&self) -> &Model {
        &self.run.learner.model
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.run.recipe
    }

    /// The tasks.
    pub fn specs(&self) -> &[TaskSpec] {
        &self.run.data.specs
    }

    /// The folder of the run.
    pub fn folder(&self) -> &RunFolder {
        &self.run.standing.folder
    }

    /// The processes of the run.
    pub fn ranks(&self) -> &Ranks {
        &self.model().ranks
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.run.standing.state.step
    }

    /// Trains to the end, or until the observer asks to stop; both save.
    ///
    /// A run that fails before its first checkpoint removes its folder, unless a dump lies in it.
    ///
    /// # Errors
    /// A sample that cannot be read, numbers that stay not finite, a parameter that gets no
    /// gradient in the first step, or a checkpoint that cannot be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<TrainOutcome> {
        let outcome = self.run_steps(observer);
        let outcome = self.ranks().heard(outcome);
        if !self.ranks().is_first() {
            return outcome;
        }
        let dumped = matches!(outcome, Err(Error::NotFinite { .. }));
        if outcome.is_err() && !dumped && !self.folder().has_checkpoint().unwrap_or(true) {
            self.folder().discard();
        }
        outcome
    }

    fn run_steps(&mut self, observer: &mut dyn Observer) -> Result<TrainOutcome> {
        let is_missing = self.run.standing.evaluation_is_missing();
        let mut evaluation = is_missing.then(|| self.measure(observer)).transpose()?;
        let stopped =
            !self.run.standing.is_at_end() && self.run_batches(observer, &mut evaluation)?;
        if stopped {
            self.run.standing.save(&self.run.learner)?;
        } else if let Some(bytes) = memory::peak_resident_bytes() {
            let steps = self.run.recipe.train.steps;
            self.run.log.write(&json!({"step": steps, "peak_resident_bytes": bytes}))?;
        }
        Ok(TrainOutcome { finished: !stopped, step: self.step(), evaluation })
    }

    /// Trains to the end of the run; whether the observer asks to stop.
    fn run_batches(
        &mut self,
        observer: &mut dyn Observer,
        evaluation: &mut Option<Evaluation>,
    ) -> Result<bool> {
        let (steps, (epoch, first)) = (self.run.recipe.train.steps, self.run.standing.position());
        let left = steps.saturating_sub(self.step());
        let mut started = Instant::now();
        for batch in self.run.data.train.epochs(epoch, first, left)? {
            let report = self.step_on(&batch?, &mut started)?;
            observer.step(&report, steps);
            self.run.log.write(&report)?;
            self.run.standing.save_if_due(&self.run.learner)?;
            if self.ranks().any(observer.stop())? {
                return Ok(true);
            }
            if self.run.standing.evaluation_is_due() {
                *evaluation = Some(self.measure(observer)?);
                started = Instant::now();
            }
        }
        Ok(false)
    }

    /// The step of `batch`, which was waited for since `started`: down the gradients, unless a
    /// number is not finite.
    fn step_on(&mut self, batch: &Batch, started: &mut Instant) -> Result<StepReport> {
        let (step, traffic) = (self.step(), self.ranks().traffic());
        let found = self.run.learner.gradients(step, batch)?;
        let loss_scale = self.run.learner.objective.loss_scale();
        let finite = found.numbers.are_finite();
        let done = if finite { self.take(batch, &found) } else { self.skip(batch, &found) };
        done?;
        self.run.learner.objective.update_loss_scale(finite);
        self.run.standing.advance();
        let numbers = found.numbers;
        Ok(StepReport {
            step: step + 1,
            lr: found.lr,
            loss: numbers.losses.values().any(Option::is_some).then_some(numbers.loss),
            losses: numbers.losses,
            penalty: numbers.penalty,
            distillation: numbers.distillation,
            grad_norm: numbers.grad_norm,
            wall_ms: lap(started),
            skipped: !finite,
            loss_scale,
            weights: self.run.learner.objective.named_weights(&found.pass),
            bad_samples: batch.skipped.len(),
            bad_sample_errors: batch.skipped.clone(),
            ranks: RankReport::of(self.ranks(), batch, &traffic)?,
        })
    }

    fn take(&mut self, batch: &Batch, found: &Gradients) -> Result<()> {
        let step = self.step();
        self.run.learner.take(step, batch, found)?;
        self.run.standing.state.skipped = 0;
        match found.pass.conflict() {
            Some(conflict) => self.run.log.write(&json!({"step": step + 1, "conflict": conflict})),
            None => Ok(()),
        }
    }

    /// Counts a step that met numbers which are not finite, unless a smaller scale mends them. Ends
    /// the run where they are too many in a row, and keeps what the last one started from.
    fn skip(&mut self, batch: &Batch, found: &Gradients) -> Result<()> {
        let OpenedRun { recipe, learner, standing, .. } = &mut self.run;
        let scales = learner.objective.loss_scale().is_some_and(|scale| scale >= 1.0);
        if scales && found.numbers.losses_are_finite() {
            return Ok(());
        }
        let (step, count) = (standing.state.step, standing.state.skipped + 1);
        if count < recipe.train.max_skipped {
            standing.state.skipped = count;
            return Ok(());
        }
        let run = standing.folder.path();
        let path = dump::folder(run);
        if learner.model.ranks.is_first() {
            std::fs::create_dir_all(&path).map_err(io(&path))?;
            standing.checkpoint(learner).save(&path, 1)?;
            let params = learner.model.store.trainable();
            StepDump::new(step, batch, found.numbers.losses.clone(), &params).write(run)?;
        }
        Err(Error::NotFinite { step: step + 1, what: "loss or gradient".into(), count, path })
    }

    /// Measures the model as it is, keeps what was found, and saves.
    fn measure(&mut self, observer: &mut dyn Observer) -> Result<Evaluation> {
        let OpenedRun { recipe, data, learner, standing, baselines, log, .. } = &mut self.run;
        let (step, loader) = (standing.state.step, &data.eval);
        learner.model.set_progress(step, recipe.train.steps);
        let ranks = &learner.model.ranks;
        let wanted = ranks.any(log.wants_pictures() || observer.wants_samples())?;
        let mut picker = SamplePicker::new(loader.dataset().len(), wanted);
        let batches = loader.num_batches();
        let watch = &mut |done: usize, batch: &Batch, outputs: &[Array4<f32>]| {
            observer.evaluating((done * ranks.size()).min(batches), batches);
            picker.look(&learner.model, batch, outputs);
            Ok(())
        };
        let mut evaluation = evaluate_watched(&learner.model, loader, baselines.as_deref(), watch)?;
        let samples = pictures_of_all(ranks, picker.pictures)?;
        observer.samples(step, &samples);
        log.pictures(step, samples)?;
        standing.note_peaks(&mut evaluation);
        let resident = memory::resident_bytes();
        log.write(&json!({"step": step, "evaluation": &evaluation, "resident_bytes": resident}))?;
        if ranks.is_first() {
            let path = standing.folder.path().join("evaluation.json");
            file::write_aside(&path, to_json(&evaluation.with_details()).as_bytes())?;
        }
        standing.note_best(&evaluation);
        standing.save(learner)?;
        observer.evaluated(step, &evaluation);
        Ok(evaluation)
    }
}
