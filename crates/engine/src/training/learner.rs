//! The model of a run with all that moves it: forward and backward, and down the gradients.

use polyptych_data::Batch;
use polyptych_tensor::optim::{
    AdaTask, AdamW, Optimiser, Sgd, clip_grad_norm, decay_groups, scale_groups,
};
use polyptych_tensor::{Tensor, Tensors, matches, seed_of_step};

use super::distil::Teachers;
use super::objective::Objective;
use super::objective::pass::{Pass, StepNumbers};
use super::objective::step::{OnDevice, StepBatch, StepInputs};
use super::ranks::{ByRank, average_running_statistics};
use crate::run::RECIPE;
use crate::training::balance::step::Clipping;
use crate::{Checkpoint, DataSets, Error, Model, OptimiserRecipe, Recipe, Result, TrainRecipe};

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
    teachers: Option<Teachers>,
}

/// What a batch makes of the gradients, before anything moves.
pub(super) struct Gradients {
    pub(super) pass: Pass,
    /// Learning rate of the step.
    pub(super) lr: f64,
    pub(super) numbers: StepNumbers,
    inputs: OnDevice,
}

impl Learner {
    /// Makes ready what trains `model` as `recipe` says, on batches of `data`.
    ///
    /// # Errors
    /// A constant that is out of its range, or nothing to minimise.
    pub(super) fn new(recipe: &Recipe, data: &DataSets, model: Model) -> Result<Self> {
        model.store_frozen();
        model.share_gradients()?;
        let params = model.store.trainable();
        check_lr_scale(&recipe.train, &params)?;
        let optimiser = optimiser(recipe, &params);
        let objective = Objective::new(recipe, &data.specs, &model, &params, &data.train)?;
        let (parts, train) = (model.parts(&params), recipe.train.clone());
        let teachers = Teachers::open(recipe, &data.specs, model.store.device())?;
        if teachers.is_some() && model.ranks.are_many() {
            return Err(refused("distil", "one process beside teachers", "several"));
        }
        if teachers.is_some() && optimiser.is_by_task() {
            let expected = "adamw or sgd beside [distil], whose term is no task's";
            return Err(refused("train.optimiser", expected, "adatask"));
        }
        Ok(Self { model, objective, optimiser, parts, train, seed: recipe.seed, teachers })
    }

    /// Forward and backward of `batch` where `step` steps are done; the gradients are clipped.
    ///
    /// # Errors
    /// Numbers that do not fit, or, in the first step, a parameter that gets no gradient.
    pub(super) fn gradients(&mut self, step: u64, batch: &Batch) -> Result<Gradients> {
        let lr = self.lr(step);
        let inputs = OnDevice::new(&self.model, batch)?;
        let pass = self.backward(step, &inputs, batch)?;
        average_running_statistics(&self.model)?;
        if step == 0 && pass.has_gradients {
            self.model.store.check_gradients()?;
        }
        let numbers = pass.numbers(&self.clip())?;
        Ok(Gradients { pass, lr, numbers, inputs })
    }

    /// Goes down `found`, the gradients of `batch`, and moves what learns from that.
    ///
    /// # Errors
    /// A gradient that the optimiser cannot use, or a loss that the method has no weight for.
    pub(super) fn take(&mut self, step: u64, batch: &Batch, found: &Gradients) -> Result<()> {
        self.model.before_step();
        self.step_optimiser(found)?;
        let batch = self.step_batch(step, &found.inputs, batch);
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
    fn backward(&mut self, step: u64, inputs: &OnDevice, batch: &Batch) -> Result<Pass> {
        let (lr, batch) = (self.lr(step), self.step_batch(step, inputs, batch));
        let mut objective = self.objective.prepare(&self.model, &inputs.images)?;
        self.model.set_progress(step, self.train.steps);
        let optimiser = self.optimiser.as_ref();
        let (model, teachers) = (&self.model, self.teachers.as_ref());
        let pass = objective.backward(StepInputs { model, batch, optimiser, teachers, lr })?;
        let pass = self.add_penalty(pass)?;
        self.add_distillation(pass, batch)
    }

    /// Adds the gradient of what teachers say, which no balancer sees, unless it is there already.
    fn add_distillation(&self, pass: Pass, batch: StepBatch) -> Result<Pass> {
        let missing = pass.has_gradients && pass.distillation.is_none();
        let Some(teachers) = self.teachers.as_ref().filter(|_| missing) else {
            return Ok(pass);
        };
        let term = teachers.term(&self.model, (batch.batch, batch.images()), batch.seed)?;
        term.f_backward()?;
        Ok(Pass { distillation: Some(term.detach()), ..pass })
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
        Ok(Pass { penalty: Some(penalty.detach()), ..pass })
    }

    fn penalty_of_no_task(&self) -> Error {
        Error::Recipe {
            origin: RECIPE.into(),
            key: "train.optimiser".into(),
            reason:
                "expected adamw or sgd, found adatask: it needs one gradient per task, and the \
                     penalty of this adapter method belongs to no task; a penalty of 0 works too"
                    .into(),
        }
    }

    fn step_batch<'a>(&self, step: u64, inputs: &'a OnDevice, batch: &'a Batch) -> StepBatch<'a> {
        let seed = self.model.ranks.seed(seed_of_step(self.seed, step));
        StepBatch { inputs, batch, step, seed }
    }

    /// The norms of the gradients of each part before clipping.
    fn clip(&self) -> Vec<Tensor> {
        let max = self.train.clip_grad_norm;
        self.parts.iter().map(|part| clip_grad_norm(part, max)).collect()
    }

    fn step_optimiser(&mut self, found: &Gradients) -> Result<()> {
        if !self.optimiser.is_by_task() {
            return Ok(self.optimiser.step(found.lr)?);
        }
        let clipping =
            Clipping { norm: found.numbers.grad_norm, max_norm: self.train.clip_grad_norm };
        let gradients = self.objective.gradients_by_task(&found.pass, clipping);
        Ok(self.optimiser.step_by_task(found.lr, &gradients)?)
    }
}

fn refused(key: &str, expected: &str, found: &str) -> Error {
    let reason = format!("expected {expected}, found {found}");
    Error::Recipe { origin: RECIPE.into(), key: key.into(), reason }
}

/// Every pattern of `train.lr_scale` fits one of `params`, and none of these fits two.
fn check_lr_scale(train: &TrainRecipe, params: &[(String, Tensor)]) -> Result<()> {
    let fit = |pattern: &&String, name: &str| matches(&[pattern.as_str()], name);
    let key = "train.lr_scale";
    for pattern in train.lr_scale.keys() {
        if !params.iter().any(|(name, _)| fit(&pattern, name)) {
            let expected = "a pattern that fits the name of a parameter that trains";
            return Err(refused(key, expected, pattern));
        }
    }
    for (name, _) in params {
        let fitting: Vec<&str> =
            train.lr_scale.keys().filter(|p| fit(p, name)).map(String::as_str).collect();
        if fitting.len() > 1 {
            let found = format!("{} for {name}", fitting.join(" and "));
            return Err(refused(key, "one pattern for every parameter", &found));
        }
    }
    Ok(())
}

fn optimiser(recipe: &Recipe, params: &[(String, Tensor)]) -> Box<dyn Optimiser> {
    let clones = params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    let groups = decay_groups(clones, recipe.train.weight_decay);
    let groups = scale_groups(groups, &recipe.train.lr_scale);
    match recipe.train.optimiser {
        OptimiserRecipe::AdamW(config) => Box::new(AdamW::new(config, groups)),
        OptimiserRecipe::Sgd(config) => Box::new(Sgd::new(config, groups)),
        OptimiserRecipe::AdaTask(config) => {
            Box::new(AdaTask::new(config, groups, &recipe.task_names()))
        }
    }
}
