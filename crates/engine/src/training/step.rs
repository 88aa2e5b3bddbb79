//! One step: forward and backward, and down the gradients unless a number is not finite.

use std::time::Instant;

use polyptych_data::Batch;
use polyptych_tensor::optim::clip_grad_norm;
use polyptych_tensor::{Tensor, seed_of_step};
use serde_json::json;

use super::objective::pass::Pass;
use super::objective::step::{StepBatch, StepInputs};
use super::{StepDump, StepReport, Trainer, dump};
use crate::error::io;
use crate::run::RECIPE;
use crate::training::balance::step::Clipping;
use crate::{Error, Result, to_tensor};

impl Trainer {
    /// The step of `batch`, which was waited for since `started`.
    pub(super) fn step_on(&mut self, batch: &Batch, started: &mut Instant) -> Result<StepReport> {
        let lr = self.lr();
        let images = to_tensor(&batch.images, self.device);
        let pass = self.backward(&images, batch)?;
        if self.state.step == 0 && pass.has_gradients {
            self.model.store.check_gradients()?;
        }
        let grad_norm = self.clip();
        let skipped = !pass.loss.is_finite() || !grad_norm.is_finite();
        let loss_scale = self.objective.loss_scale();
        if skipped {
            self.skip(batch, &pass)?;
        } else {
            self.take(&images, batch, &pass, grad_norm)?;
        }
        self.objective.update_loss_scale(!skipped);
        self.advance()?;
        let losses = pass.numbers();
        Ok(StepReport {
            step: self.state.step,
            lr,
            loss: losses.values().any(Option::is_some).then_some(pass.loss),
            losses,
            penalty: pass.penalty,
            grad_norm,
            wall_ms: lap(started),
            skipped,
            loss_scale,
            weights: self.objective.named_weights(&pass),
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
    pub(super) fn backward(&mut self, images: &Tensor, batch: &Batch) -> Result<Pass> {
        let (lr, batch) = (self.lr(), self.step_batch(images, batch));
        let mut objective = self.objective.prepare(&self.model, images)?;
        self.model.set_progress(self.state.step, self.recipe.train.steps);
        let optimiser = self.optimiser.as_ref();
        let pass = objective.backward(StepInputs { model: &self.model, batch, optimiser, lr })?;
        self.add_penalty(pass)
    }

    /// Adds the gradient of the method's own term, which no balancer sees.
    fn add_penalty(&self, pass: Pass) -> Result<Pass> {
        let Some(penalty) = self.model.penalty().filter(|_| pass.has_gradients) else {
            return Ok(pass);
        };
        if self.optimiser.is_by_task() {
            return Err(self.penalty_of_no_task());
        }
        penalty.f_backward()?;
        Ok(Pass { penalty: Some(penalty.double_value(&[])), ..pass })
    }

    fn penalty_of_no_task(&self) -> Error {
        let method = self.recipe.adapter.name();
        Error::Recipe {
            origin: self.folder.path().join(RECIPE).display().to_string(),
            key: "train.optimiser".into(),
            reason: format!(
                "expected another than adatask, which takes every task's own gradients, since \
                 adapter.method = \"{method}\" has a penalty that is no task's; use adamw, or a \
                 penalty of 0"
            ),
        }
    }

    fn step_batch<'a>(&self, images: &'a Tensor, batch: &'a Batch) -> StepBatch<'a> {
        let step = self.state.step;
        StepBatch { images, batch, step, seed: seed_of_step(self.recipe.seed, step) }
    }

    /// The joint norm of the gradients before clipping.
    pub(super) fn clip(&self) -> f64 {
        let max = self.recipe.train.clip_grad_norm;
        self.parts.iter().map(|part| clip_grad_norm(part, max)).fold(0.0, f64::hypot)
    }

    /// Changes the model, whose gradients were `grad_norm` long, and what learns from the change.
    fn take(&mut self, images: &Tensor, batch: &Batch, pass: &Pass, grad_norm: f64) -> Result<()> {
        self.model.before_step();
        self.step_optimiser(pass, grad_norm)?;
        if let Some(conflict) = pass.conflict() {
            self.log.write(&json!({"step": self.state.step + 1, "conflict": conflict}))?;
        }
        let batch = self.step_batch(images, batch);
        self.objective.after_step(&self.model, batch, pass)?;
        self.state.skipped = 0;
        Ok(())
    }

    fn step_optimiser(&mut self, pass: &Pass, grad_norm: f64) -> Result<()> {
        let lr = self.lr();
        if !self.optimiser.is_by_task() {
            return Ok(self.optimiser.step(lr)?);
        }
        let clipping = Clipping { norm: grad_norm, max_norm: self.recipe.train.clip_grad_norm };
        let gradients = self.objective.gradients_by_task(pass, clipping);
        Ok(self.optimiser.step_by_task(lr, &gradients)?)
    }

    /// Counts a step that met numbers which are not finite, unless a smaller scale mends them. Ends
    /// the run where they are too many in a row, and keeps what the last one started from.
    fn skip(&mut self, batch: &Batch, pass: &Pass) -> Result<()> {
        let scales = self.objective.loss_scale().is_some_and(|scale| scale >= 1.0);
        if scales && pass.losses_are_finite() {
            return Ok(());
        }
        let (step, count) = (self.state.step, self.state.skipped + 1);
        if count < self.recipe.train.max_skipped {
            self.state.skipped = count;
            return Ok(());
        }
        let path = dump::folder(self.folder.path());
        std::fs::create_dir_all(&path).map_err(io(&path))?;
        self.checkpoint().save(&path, 1)?;
        StepDump::new(step, batch, pass.numbers(), &self.model.store.trainable())
            .write(self.folder.path())?;
        Err(Error::NotFinite { step: step + 1, what: "loss or gradient".into(), count, path })
    }
}

/// Milliseconds since `started`, which becomes now.
fn lap(started: &mut Instant) -> f64 {
    let since = std::mem::replace(started, Instant::now());
    since.elapsed().as_secs_f64() * 1e3
}
