//! Joins a [`Balancer`] with the trainer: which gradients are needed, and what goes into them.
//!
//! Loss weighting costs one backward pass of weighted losses. A gradient aggregator costs one for
//! each task: the task gradients over the shared parameters, which it aggregates, and the gradients
//! of each task's own parameters, which it may weight. Which parameters are shared is asked of
//! autograd before the first step of a process.
//!
//! Three methods ask for more: GradNorm for the norms of gradients over some shared parameters,
//! MGDA-UB for gradients that end at a [`Cut`](crate::model::features::Cut) in front of the heads, and
//! AdaTask, in the optimiser's place, for the task gradients themselves.
//!
//! A task without labels in a batch has no task gradient and moves no memory; its own parameters
//! get a gradient of 0. A loss or gradient that is not finite leaves everything as it was.

mod aggregate;
mod feature_gradients;
mod grad;
mod last_block;
mod look_ahead;
mod matrix;
mod numbers;
mod one_pass;
mod parameter_sharing;
mod prepare;
mod state;
mod step;
mod step_info;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{Balancer, BalancerKind, StepInfo};
use polyptych_tensor::{Tensor, Tensors};

use crate::recipe::balancer;
use crate::training::conflict::Layout;
use crate::{Error, Recipe, Result};

pub(crate) use look_ahead::LookAhead;
use matrix::GradientMatrix;
pub(crate) use numbers::{finite, numbers};
pub(crate) use one_pass::backward;
pub(crate) use parameter_sharing::ParameterSharing;
pub(crate) use step::{BalancedStep, StepInputs};

/// The balancer of one run, and what it works on.
#[derive(Debug)]
pub(crate) struct TaskBalancer {
    balancer: Balancer,
    /// Whether the optimiser takes every task's gradients.
    by_task: bool,
    conflict_every: Option<u64>,
    name: String,
    tasks: Vec<String>,
    seed: u64,
    params: Vec<(String, Tensor)>,
    prepared: Option<Prepared>,
}

/// What is known before the first step.
#[derive(Debug)]
struct Prepared {
    sharing: ParameterSharing,
    layout: Layout,
    matrix: Option<GradientMatrix>,
    /// Those of extra batches.
    extra: Vec<GradientMatrix>,
}

impl TaskBalancer {
    /// The balancer that `recipe` asks for, if it does, over the trainable `params`.
    ///
    /// # Errors
    /// A constant that is out of its range.
    pub(crate) fn new(recipe: &Recipe, params: &[(String, Tensor)]) -> Result<Option<Self>> {
        if !balancer::balances(recipe) {
            return Ok(None);
        }
        let balancer = balancer::init(recipe, recipe.tasks.len()).map_err(Error::Losses)?;
        Ok(Some(Self {
            balancer,
            by_task: balancer::by_task(recipe),
            conflict_every: recipe.train.conflict_every.filter(|_| recipe.tasks.len() > 1),
            name: recipe.name.clone(),
            tasks: recipe.task_names(),
            seed: recipe.seed,
            params: params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
            prepared: None,
        }))
    }

    /// Puts the gradients of a step into the parameters, whose gradients are 0 or none before;
    /// nothing is returned, and nothing remembered, where a number is not finite.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn backward(&mut self, inputs: StepInputs) -> Result<Option<BalancedStep>> {
        finite(self.try_backward(inputs))
    }

    fn try_backward(&mut self, inputs: StepInputs) -> Result<BalancedStep> {
        let tasks = inputs.tasks();
        if tasks.is_empty() {
            numbers(inputs.losses)?;
            let total = self.one_pass(inputs, &[], &[])?;
            return Ok(BalancedStep {
                info: None,
                total,
                weights: Vec::new(),
                conflict: None,
                by_task: None,
            });
        }
        let info = self.step_info(inputs, &tasks)?;
        let measured = self.conflict_every.is_some_and(|n| (inputs.step + 1).is_multiple_of(n));
        let one_pass = self.weights_of_one_pass(&info)?;
        if measured || (one_pass.is_none() && !self.cuts()) {
            self.collect(inputs, &tasks, one_pass.is_some())?;
        }
        let conflict = if measured { Some(self.conflict(&tasks)?) } else { None };
        let (total, weights, by_task) = match (one_pass, inputs.cut) {
            (Some(weights), _) => (self.one_pass(inputs, &tasks, &weights)?, weights, None),
            (None, Some(cut)) => (self.aggregate_features(inputs, cut, &info)?, Vec::new(), None),
            (None, None) => self.aggregate(&info)?,
        };
        Ok(BalancedStep { info: Some(info), total, weights, conflict, by_task })
    }

    /// The method's factors by the names of the tasks.
    pub(crate) fn named_weights(&self, balanced: &BalancedStep) -> BTreeMap<String, f64> {
        let tasks = balanced.info.iter().flat_map(|info| info.tasks());
        let names = tasks.map(|&task| self.tasks[task].clone());
        names.zip(balanced.weights.iter().copied()).collect()
    }

    /// The primary tasks, where the method looks ahead.
    pub(crate) fn primary(&self) -> Option<Vec<usize>> {
        let names = self.balancer.primary()?;
        let all = 0..self.tasks.len();
        Some(all.filter(|&task| names.is_empty() || names.contains(&self.tasks[task])).collect())
    }

    /// Extra batches that a step needs for the task gradients of its aggregator.
    pub(crate) fn extra_batches(&self) -> usize {
        self.balancer.extra_batches()
    }

    /// Whether the gradients of the losses must end in front of the heads.
    pub(crate) fn cuts(&self) -> bool {
        self.balancer.kind() == BalancerKind::Features
    }

    /// Moves what is trainable in the balancer, after the optimiser's step.
    ///
    /// `new_losses`: those of the same tasks after the step, where
    /// [`TaskBalancer::needs_new_losses`].
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn after_step(&mut self, info: &StepInfo, new_losses: Option<&[f64]>) -> Result<()> {
        match self.balancer.after_step(info, new_losses) {
            // The step is done; only what would have moved is lost.
            Err(LossError::NonFinite { .. }) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Whether [`TaskBalancer::after_step`] needs the losses of the same batch again.
    pub(crate) fn needs_new_losses(&self) -> bool {
        self.balancer.needs_new_losses()
    }

    /// What a resumed run needs.
    pub(crate) fn state(&self) -> Tensors {
        state::to_tensors(&self.balancer.state())
    }

    /// Goes on where [`TaskBalancer::state`] was taken.
    ///
    /// # Errors
    /// The state of another balancer or number of tasks.
    pub(crate) fn restore(&mut self, saved: &Tensors) -> Result<()> {
        Ok(self.balancer.restore(&state::from_tensors(saved)?)?)
    }

    fn aggregates(&self) -> bool {
        self.balancer.kind() != BalancerKind::Loss
    }
}
