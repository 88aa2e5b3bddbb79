//! One step: forward and backward, and down the gradients unless a number is not finite.

use std::collections::BTreeMap;
use std::time::Instant;

use polyptych_data::Batch;
use polyptych_tensor::GradScaler;
use polyptych_tensor::optim::clip_grad_norm;

use super::pass::Pass;
use super::{StepDump, StepReport, Trainer, dump};
use crate::error::io;
use crate::training::balance::BalancedStep;
use crate::{Error, Result, to_tensor};

impl Trainer {
    /// The step of `batch`, which was waited for since `started`.
    pub(super) fn step_on(&mut self, batch: &Batch, started: &mut Instant) -> Result<StepReport> {
        let lr = self.lr();
        let pass = self.prepare_step(batch)?;
        if self.state.step == 0 && pass.formed {
            self.model.store.check_gradients()?;
        }
        let grad_norm = self.clip();
        let skipped = !pass.loss.is_finite() || !grad_norm.is_finite();
        let loss_scale = self.scaler.as_ref().map(GradScaler::scale);
        if skipped {
            self.skip(batch, &pass)?;
        } else {
            self.take(batch, &pass, lr, grad_norm)?;
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.update(!skipped);
        }
        self.advance()?;
        let losses = pass.numbers();
        Ok(StepReport {
            step: self.state.step,
            lr,
            loss: losses.values().any(Option::is_some).then_some(pass.loss),
            losses,
            grad_norm,
            wall_ms: lap(started),
            skipped,
            loss_scale,
            weights: self.balancer_weights(&pass),
            bad_samples: batch.skipped.len(),
            bad_sample_errors: batch.skipped.clone(),
        })
    }

    /// What the balancer made of the tasks.
    fn balancer_weights(&self, pass: &Pass) -> BTreeMap<String, f64> {
        let both = self.balance.as_ref().zip(pass.balanced.as_ref());
        both.map(|(balance, balanced)| balance.named_weights(balanced)).unwrap_or_default()
    }

    /// Learning rate of the next step.
    fn lr(&self) -> f64 {
        let train = &self.recipe.train;
        train.lr * train.schedule.factor(self.state.step, train.steps)
    }

    /// Everything of a step but what changes the model: forward and backward.
    pub(super) fn prepare_step(&mut self, batch: &Batch) -> Result<Pass> {
        let images = to_tensor(&batch.images, self.device);
        if let Some(balance) = &mut self.balance {
            balance.prepare(&self.model, &images)?;
        }
        self.model.set_progress(self.state.step, self.recipe.train.steps);
        self.pass(images, batch, self.lr())
    }

    /// The joint norm of the gradients before clipping.
    pub(super) fn clip(&self) -> f64 {
        let max = self.recipe.train.clip_grad_norm;
        self.parts.iter().map(|part| clip_grad_norm(part, max)).fold(0.0, f64::hypot)
    }

    /// Changes the model, and what learns from the change.
    fn take(&mut self, batch: &Batch, pass: &Pass, lr: f64, grad_norm: f64) -> Result<()> {
        self.descend(lr, pass.balanced.as_ref(), grad_norm)?;
        if let Some(balanced) = &pass.balanced {
            self.learn(balanced, &pass.images, batch)?;
        }
        self.state.skipped = 0;
        Ok(())
    }

    /// The optimiser's step down the clipped gradients, whose length was `grad_norm`.
    fn descend(&mut self, lr: f64, balanced: Option<&BalancedStep>, grad_norm: f64) -> Result<()> {
        let (Some(balance), Some(balanced), true) =
            (&self.balance, balanced, self.optimiser.is_by_task())
        else {
            return Ok(self.optimiser.step(lr)?);
        };
        let tasks = balance.by_task(balanced, grad_norm, self.recipe.train.clip_grad_norm);
        Ok(self.optimiser.step_by_task(lr, &tasks)?)
    }

    /// Counts a step that met numbers which are not finite, unless a smaller scale mends them. Ends
    /// the run where they are too many in a row, and keeps what the last one started from.
    fn skip(&mut self, batch: &Batch, pass: &Pass) -> Result<()> {
        let scales = self.scaler.as_ref().is_some_and(|scaler| scaler.scale() >= 1.0);
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
