//! The model of a run with all that moves it: forward and backward, and down the gradients.

use polyptych_data::Batch;
use polyptych_tensor::optim::{AdaTask, AdamW, Optimiser, Sgd, clip_grad_norm, decay_groups};
use polyptych_tensor::{Tensor, Tensors, seed_of_step};

use super::objective::Objective;
use super::objective::pass::Pass;
use super::objective::step::{StepBatch, StepInputs};
use super::ranks::{ByRank, average_running_statistics};
use crate::run::RECIPE;
use crate::training::balance::step::Clipping;
use crate::{
    Checkpoint, DataSets, Error, Model, OptimiserRecipe, Recipe, Result, TrainRecipe, to_tensor,
};

/// A model, what it minimises and its optimiser.
pub(super) struct Learner {
    pub(super) model: Model,
    pub(super) objective: Objective,
    optimiser: Box<dyn Optimiser>,
    /// Trainable parameters whose gradients are clipped together; several parts where tasks share
    /// none.
    parts: Vec<Vec<(String, Tensor)>>,
    train: TrainRecipe,
    seed: u64,
}

/// What a batch makes of the gradients, before anything moves.
pub(super) struct Gradients {
    pub(super) pass: Pass,
    /// Learning rate of the step.
    pub(super) lr: f64,
    /// Their joint norm before clipping.
    pub(super) norm: f64,
    images: Tensor,
}

impl Gradients {
    /// Whether the step may be taken.
    pub(super) fn are_finite(&self) -> bool {
        self.pass.loss.is_finite() && self.norm.is_finite()
    }
}

impl Learner {
    /// Makes ready what trains `model` as `recipe` says, on batches of `data`.
    ///
    /// # Errors
    /// A constant that is out of its range, or nothing to minimise.
    pub(super) fn new(recipe: &Recipe, data: &DataSets, model: Model) -> Result<Self> {
        model.store_frozen();
        let params = model.store.trainable();
        let optimiser = optimiser(recipe, &params);
        let objective = Objective::new(recipe, &data.specs, &model, &params, &data.train)?;
        let (parts, train) = (model.parts(&params), recipe.train.clone());
        Ok(Self { model, objective, optimiser, parts, train, seed: recipe.seed })
    }

    /// Forward and backward of `batch` where `step` steps are done; the gradients are clipped.
    ///
    /// # Errors
    /// Numbers that do not fit, or, in the first step, a parameter that gets no gradient.
    pub(super) fn gradients(&mut self, step: u64, batch: &Batch) -> Result<Gradients> {
        let lr = self.lr(step);
        let images = to_tensor(&batch.images, self.model.store.device());
        let pass = self.backward(step, &images, batch)?;
        average_running_statistics(&self.model)?;
        if step == 0 && pass.has_gradients {
            self.model.store.check_gradients()?;
        }
        let norm = self.clip();
        Ok(Gradients { pass, lr, norm, images })
    }

    /// Goes down `found`, the gradients of `batch`, and moves what learns from that.
    ///
    /// # Errors
    /// A gradient that the optimiser cannot use, or a loss that the method has no weight for.
    pub(super) fn take(&mut self, step: u64, batch: &Batch, found: &Gradients) -> Result<()> {
        self.model.before_step();
        self.step_optimiser(found)?;
        let batch = self.step_batch(step, &found.images, batch);
        self.objective.after_step(&self.model, batch, &found.pass)
    }

    /// Goes on where `checkpoint` was saved; its model is loaded already.
    ///
    /// # Errors
    /// The state of another optimiser or objective.
    pub(super) fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.optimiser.restore(&checkpoint.optimiser)?;
        self.objective.restore(&checkpoint.memory)
    }

    /// What the optimiser remembers.
    pub(super) fn optimiser_state(&self) -> Tensors {
        self.optimiser.state()
    }

    /// Learning rate of the next step.
    fn lr(&self, step: u64) -> f64 {
        self.train.lr * self.train.schedule.factor(step, self.train.steps)
    }

    /// Everything of a step but what changes the model.
    fn backward(&mut self, step: u64, images: &Tensor, batch: &Batch) -> Result<Pass> {
        let (lr, batch) = (self.lr(step), self.step_batch(step, images, batch));
        let mut objective = self.objective.prepare(&self.model, images)?;
        self.model.set_progress(step, self.train.steps);
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
        Error::Recipe {
            origin: RECIPE.into(),
            key: "train.optimiser".into(),
            reason: "expected another than adatask, which takes every task's own gradients, since \
                     the adapter method has a penalty that is no task's; use adamw, or a penalty \
                     of 0"
                .into(),
        }
    }

    fn step_batch<'a>(&self, step: u64, images: &'a Tensor, batch: &'a Batch) -> StepBatch<'a> {
        let seed = self.model.ranks.seed(seed_of_step(self.seed, step));
        StepBatch { images, batch, step, seed }
    }

    /// The joint norm of the gradients before clipping.
    fn clip(&self) -> f64 {
        let max = self.train.clip_grad_norm;
        self.parts.iter().map(|part| clip_grad_norm(part, max)).fold(0.0, f64::hypot)
    }

    fn step_optimiser(&mut self, found: &Gradients) -> Result<()> {
        if !self.optimiser.is_by_task() {
            return Ok(self.optimiser.step(found.lr)?);
        }
        let clipping = Clipping { norm: found.norm, max_norm: self.train.clip_grad_norm };
        let gradients = self.objective.gradients_by_task(&found.pass, clipping);
        Ok(self.optimiser.step_by_task(found.lr, &gradients)?)
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
