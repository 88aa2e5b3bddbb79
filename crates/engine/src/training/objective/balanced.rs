//! Losses that a balancer weighs against each other, or whose gradients it combines.
//!
//! Some methods ask for other batches before the pass of the step's own: SDMGrad takes task
//! gradients of two extra batches, Auto-lambda judges a virtual step by one. Passes are those of
//! training; what they do to running means is undone.

use std::collections::BTreeMap;

use polyptych_data::{Batch, Loader};
use polyptych_tensor::optim::TaskGradients;
use polyptych_tensor::{GradScaler, Kind, Role, Store, Tensor, Tensors, manual_seed, no_grad};

use super::extra_batches::ExtraBatches;
use super::pass::Pass;
use super::step::{OnDevice, StepBatch, StepInputs};
use super::task_losses::{LabelledLosses, TaskLosses};
use crate::model::features::Cut;
use crate::training::balance::look_ahead::LookAhead;
use crate::training::balance::numbers::{finite, numbers};
use crate::training::balance::prepared::Prepared;
use crate::training::balance::prepared_balancer::{PreparedBalancer, gradients_by_task};
use crate::training::balance::step::{BalancedStep, Clipping, StepLosses};
use crate::training::balance::task_balancer::TaskBalancer;
use crate::{Model, Recipe, Result};

/// A balancer with the losses and batches that it works on.
pub(super) struct Balanced {
    losses: TaskLosses,
    balancer: TaskBalancer,
    /// Orders of extra batches: those of the aggregator, then the one that judges.
    extra: Vec<ExtraBatches>,
    /// What is found out before the first step of a process.
    prepared: Option<Prepared>,
}

/// A balancer that is ready for a step.
pub(super) struct BalancedPass<'a> {
    losses: &'a TaskLosses,
    extra: &'a mut [ExtraBatches],
    balancer: PreparedBalancer<'a>,
}

/// What a look-ahead step says of the tasks.
enum Gains {
    /// The method does not look ahead, or nothing can judge the step.
    Unknown,
    /// One for each task.
    Known(Vec<f64>),
    /// A number was not finite, which asks to skip the step.
    NotFinite,
}

impl Balanced {
    /// The balancer of `recipe`, which balances, over `params`, the trainable ones of `model`.
    ///
    /// # Errors
    /// A constant that is out of its range.
    pub(super) fn new(
        recipe: &Recipe,
        model: &Model,
        params: &[(String, Tensor)],
        train: &Loader,
    ) -> Result<Self> {
        let balancer = TaskBalancer::new(recipe, params)?;
        let count = balancer.extra_batches() as u64 + u64::from(balancer.primary().is_some());
        let extra = (0..count).map(|index| ExtraBatches::new(train, index)).collect();
        let losses = TaskLosses::new(model, |_| false);
        Ok(Self { losses, balancer, extra, prepared: None })
    }

    /// Makes it ready for a step with `images`.
    ///
    /// # Errors
    /// A balancer that needs shared parameters where there are none.
    pub(super) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<BalancedPass<'_>> {
        let prepared = match &mut self.prepared {
            Some(prepared) => prepared,
            none => none.insert(Prepared::find(&self.balancer, model, images)?),
        };
        let balancer = PreparedBalancer { balancer: &mut self.balancer, prepared };
        Ok(BalancedPass { losses: &self.losses, extra: &mut self.extra, balancer })
    }

    /// Every task's gradients of `step`, whose sum was clipped.
    pub(super) fn gradients_by_task(
        &self,
        step: &BalancedStep,
        clipping: Clipping,
    ) -> Vec<TaskGradients> {
        let prepared = self.prepared.as_ref();
        let by_task = |found| gradients_by_task(&self.balancer, found, step, clipping);
        prepared.map_or_else(Vec::new, by_task)
    }

    /// The method's factors in `step` by the names of the tasks.
    pub(super) fn named_weights(&self, step: &BalancedStep) -> BTreeMap<String, f64> {
        self.balancer.named_weights(step)
    }

    /// Tells the balancer that the optimiser's step is done.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(super) fn after_step(
        &mut self,
        model: &Model,
        batch: StepBatch,
        step: &BalancedStep,
    ) -> Result<()> {
        let Some(info) = &step.info else { return Ok(()) };
        let new_losses = match self.balancer.needs_new_losses() {
            true => {
                let all = self.new_losses(model, batch)?;
                Some(info.tasks().iter().map(|&task| all[task]).collect::<Vec<_>>())
            }
            false => None,
        };
        self.balancer.after_step(info, new_losses.as_deref())
    }

    /// What a resumed run needs.
    pub(super) fn state(&self) -> Tensors {
        self.balancer.state()
    }

    /// Goes on where [`Balanced::state`] was taken.
    ///
    /// # Errors
    /// The state of another balancer or number of tasks.
    pub(super) fn restore(&mut self, saved: &Tensors) -> Result<()> {
        self.balancer.restore(saved)
    }

    /// Losses of the same batch after the step, under the same dropout; running means stay.
    fn new_losses(&self, model: &Model, batch: StepBatch) -> Result<Vec<f64>> {
        let buffers = copy_buffers(&model.store);
        let losses = no_grad(|| -> Result<Vec<Tensor>> {
            let outputs = model.forward_train(batch.images(), batch.seed)?;
            let values = self.losses.forward(model, &outputs, batch)?;
            Ok(self.losses.weighted(model, &values))
        })?;
        restore_buffers(buffers)?;
        numbers(&losses.iter().map(|loss| loss.to_kind(Kind::Float)).collect::<Vec<_>>())
    }
}

impl BalancedPass<'_> {
    /// Goes through the model and back, as often as the method asks.
    ///
    /// # Errors
    /// An image of another shape, or a loss that the method has no weight for.
    pub(super) fn backward(
        &mut self,
        inputs: StepInputs,
        scaler: Option<&GradScaler>,
    ) -> Result<Pass> {
        let StepInputs { model, batch, .. } = inputs;
        let gains = self.look_ahead(inputs, scaler)?;
        let (outputs, cut) = self.outputs(model, batch)?;
        model.store.zero_grad();
        let LabelledLosses { values, labelled } = self.losses.labelled(model, &outputs, batch)?;
        let weighted = self.losses.weighted(model, &values);
        let (losses, labelled, cut, step) =
            (&weighted[..], &labelled[..], cut.as_ref(), batch.step);
        let (ranks, buckets) = (&model.ranks, model.gradient_buckets());
        let losses =
            StepLosses { losses, labelled, cut, gains: None, ranks, buckets, scaler, step };
        let balanced = match &gains {
            Gains::Unknown => self.balancer.backward(losses)?,
            Gains::Known(gains) => {
                self.balancer.backward(StepLosses { gains: Some(gains), ..losses })?
            }
            Gains::NotFinite => None,
        };
        let not_finite = || Tensor::from(f64::NAN);
        let loss = balanced.as_ref().map_or_else(not_finite, |step| step.total.shallow_clone());
        let losses = self.losses.named(model, values);
        Ok(Pass { has_gradients: balanced.is_some(), losses, balanced, ..Pass::of(loss) })
    }

    /// Outputs of a training pass, whose gradients end at the cut if the method asks for one.
    fn outputs(&self, model: &Model, batch: StepBatch) -> Result<(Vec<Tensor>, Option<Cut>)> {
        if !self.balancer.prepared.cuts() {
            return Ok((model.forward_train(batch.images(), batch.seed)?, None));
        }
        manual_seed(batch.seed);
        let features = model.encode(batch.images(), true)?;
        let (features, cut) = match features.cut() {
            Some((leaves, cut)) => (leaves, Some(cut)),
            None => (features, None),
        };
        Ok((model.decode(&features)?, cut))
    }

    /// Goes through the extra batches: collects their task gradients, and judges a virtual step by
    /// the last one where the method looks ahead.
    fn look_ahead(&mut self, inputs: StepInputs, scaler: Option<&GradScaler>) -> Result<Gains> {
        let step = inputs.batch.step;
        let extra: Vec<Batch> =
            self.extra.iter_mut().map(|batches| batches.at(step)).collect::<Result<_>>()?;
        let Some(last) = extra.last() else { return Ok(Gains::Unknown) };
        let buffers = copy_buffers(&inputs.model.store);
        let collected = self.collect(&extra, inputs, scaler);
        let found = collected.and_then(|()| finite(self.gains(last, inputs, scaler)));
        restore_buffers(buffers)?;
        Ok(found?.unwrap_or(Gains::NotFinite))
    }

    fn collect(
        &mut self,
        extra: &[Batch],
        inputs: StepInputs,
        scaler: Option<&GradScaler>,
    ) -> Result<()> {
        let (model, step) = (inputs.model, inputs.batch.step);
        let count = self.balancer.balancer.extra_batches();
        for (index, batch) in extra.iter().take(count).enumerate() {
            let there = OnDevice::new(model, batch)?;
            let batch = StepBatch { inputs: &there, batch, ..inputs.batch };
            let (losses, labelled) = self.train_pass(model, batch)?;
            let (losses, labelled) = (&losses[..], &labelled[..]);
            let (ranks, buckets, cut, gains) = (&model.ranks, None, None, None);
            let inputs = StepLosses { losses, labelled, cut, gains, ranks, buckets, scaler, step };
            self.balancer.collect_extra(index, inputs)?;
        }
        Ok(())
    }

    /// Every task's gain, where the method looks ahead and `judge` can judge.
    fn gains(
        &self,
        judge: &Batch,
        inputs: StepInputs,
        scaler: Option<&GradScaler>,
    ) -> Result<Gains> {
        let StepInputs { model, batch, optimiser, lr, .. } = inputs;
        let balancer = &self.balancer.balancer;
        let Some(primary) = balancer.primary() else { return Ok(Gains::Unknown) };
        let params = model.store.trainable();
        let scale = scaler.map_or(1.0, GradScaler::scale);
        let (drift, ranks) = (optimiser.drift(), &model.ranks);
        let look_ahead = LookAhead { params: &params, drift, lr, ranks, scale };
        let there = OnDevice::new(model, judge)?;
        let judge = StepBatch { inputs: &there, batch: judge, ..batch };
        let gains = look_ahead.gains(
            || {
                let (losses, labelled) = self.train_pass(model, batch)?;
                balancer.virtual_total(&losses, &labelled, batch.step)
            },
            || {
                let (losses, labelled) = self.train_pass(model, judge)?;
                let known = primary.iter().filter(|&&task| labelled[task]);
                Ok(known.map(|&task| losses[task].shallow_clone()).reduce(|sum, l| sum + l))
            },
            || Ok(self.train_pass(model, batch)?.0),
        )?;
        Ok(gains.map_or(Gains::Unknown, Gains::Known))
    }

    /// Losses of every task, times its fixed weight, and whether it has labels.
    fn train_pass(&self, model: &Model, batch: StepBatch) -> Result<(Vec<Tensor>, Vec<bool>)> {
        let outputs = model.forward_train(batch.images(), batch.seed)?;
        let losses = self.losses.labelled(model, &outputs, batch)?;
        Ok((self.losses.weighted(model, &losses.values), losses.labelled))
    }
}

/// Running means and their like, and copies of them.
fn copy_buffers(store: &Store) -> Vec<(Tensor, Tensor)> {
    let mut buffers = Vec::new();
    store.for_each(|_, entry| {
        if entry.role == Role::Buffer {
            buffers.push((entry.tensor.shallow_clone(), entry.tensor.copy()));
        }
    });
    buffers
}

/// Undoes what passes beside the step did to running means; no graph of theirs may be left.
fn restore_buffers(mut buffers: Vec<(Tensor, Tensor)>) -> Result<()> {
    Ok(no_grad(|| buffers.iter_mut().try_for_each(|(buffer, copy)| buffer.f_copy_(copy)))?)
}
