//! The training loop: step, evaluate, save, stop, go on.
//!
//! Nothing depends on what happened before a step but the checkpointed state: the generator of
//! dropout is seeded anew from seed and step, and batches follow from seed, epoch and index.
//! So `N + N` steps are `2 N` steps, bit for bit on the CPU, where a process has one run at a time:
//! LibTorch's generator is the process's.

pub(crate) mod balance;
pub(crate) mod conflict;
mod dump;
pub(crate) mod log;
mod measure;
pub(crate) mod objective;
mod report;
mod save;
mod start;
mod step;

use std::fs::File;
use std::time::Instant;

use polyptych_data::TaskSpec;
use polyptych_metrics::Baseline;
use polyptych_tensor::optim::Optimiser;
use polyptych_tensor::{Device, Tensor, memory};
use serde_json::json;

use crate::run::checkpoint::State;
use crate::training::log::Log;
use crate::{DataSets, Error, Evaluation, Model, Recipe, Result, RunFolder};
pub use dump::{Number, StepDump};
use objective::Objective;
pub use report::{Observer, Preparation, StepReport, TrainOutcome};

/// A run that can be started, stopped and resumed.
pub struct Trainer {
    recipe: Recipe,
    folder: RunFolder,
    data: DataSets,
    model: Model,
    objective: Objective,
    optimiser: Box<dyn Optimiser>,
    /// Trainable parameters whose gradients are clipped together; several parts where tasks share
    /// none.
    parts: Vec<Vec<(String, Tensor)>>,
    baselines: Option<Vec<Baseline>>,
    state: State,
    device: Device,
    log: Log,
    /// Keeps other trainers out of the folder for as long as this one lives.
    _lock: File,
}

impl Trainer {
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
            stopped = self.run_epoch(observer, &mut evaluation)?;
        }
        if stopped {
            self.save()?;
        } else if let Some(bytes) = memory::peak_resident_bytes() {
            self.log.write(&json!({"step": steps, "peak_resident_bytes": bytes}))?;
        }
        Ok(TrainOutcome { finished: !stopped, step: self.state.step, evaluation })
    }

    /// Trains to the end of the epoch or of the run; whether the observer asks to stop.
    fn run_epoch(
        &mut self,
        observer: &mut dyn Observer,
        evaluation: &mut Option<Evaluation>,
    ) -> Result<bool> {
        let (steps, (epoch, first)) = (self.recipe.train.steps, self.position());
        let mut started = Instant::now();
        for batch in self.data.train.epoch(epoch, first)? {
            let report = self.step_on(&batch?, &mut started)?;
            observer.step(&report, steps);
            self.log.write(&report)?;
            if observer.stop() {
                return Ok(true);
            }
            if self.due(self.recipe.train.eval_every) {
                *evaluation = Some(self.measure(observer)?);
                started = Instant::now();
            }
            if self.state.step == steps {
                break;
            }
        }
        Ok(false)
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
}
