//! The balancer of a run: what its recipe asks for, and what a checkpoint remembers.

use std::collections::BTreeMap;

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{Balancer, BalancerKind, StepInfo, StepSeed};
use polyptych_tensor::{Tensor, Tensors};

use super::numbers::numbers;
use super::one_pass::weighted_total;
use super::state;
use super::step::{BalancedStep, labelled_tasks};
use crate::recipe::balancer;
use crate::{Error, Recipe, Result};

/// The balancer of one run, and the parameters whose gradients it fills.
#[derive(Debug)]
pub(crate) struct TaskBalancer {
    pub(super) balancer: Balancer,
    /// Whether the optimiser takes every task's gradients.
    pub(super) by_task: bool,
    pub(super) conflict_every: Option<u64>,
    /// Name of the recipe.
    pub(super) name: String,
    pub(super) tasks: Vec<String>,
    pub(super) seed: u64,
    /// Trainable parameters.
    pub(super) params: Vec<(String, Tensor)>,
}

impl TaskBalancer {
    /// The balancer of `recipe`, which balances, over the trainable `params`.
    ///
    /// # Errors
    /// A constant that is out of its range.
    pub(crate) fn new(recipe: &Recipe, params: &[(String, Tensor)]) -> Result<Self> {
        Ok(Self {
            balancer: balancer::init(recipe, recipe.tasks.len())?,
            by_task: balancer::by_task(recipe),
            conflict_every: recipe.train.conflict_every.filter(|_| recipe.tasks.len() > 1),
            name: recipe.name.clone(),
            tasks: recipe.task_names(),
            seed: recipe.seed,
            params: params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
        })
    }

    /// The method's factors in `step` by the names of the tasks.
    pub(crate) fn named_weights(&self, step: &BalancedStep) -> BTreeMap<String, f64> {
        let tasks = step.info.iter().flat_map(StepInfo::tasks);
        let names = tasks.map(|&task| self.tasks[task].clone());
        names.zip(step.weights.iter().copied()).collect()
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

    /// The weighted sum of the losses, for a virtual step.
    ///
    /// # Errors
    /// A loss that is not finite, or that the method has no weight for.
    pub(crate) fn virtual_total(
        &self,
        losses: &[Tensor],
        labelled: &[bool],
        step: u64,
    ) -> Result<Tensor> {
        let tasks = labelled_tasks(labelled);
        if tasks.is_empty() {
            return Ok(weighted_total(losses, &[], &[]));
        }
        let all = numbers(losses)?;
        let own: Vec<f64> = tasks.iter().map(|&task| all[task]).collect();
        let info = StepInfo::new(losses.len(), &tasks, &own, StepSeed { seed: self.seed, step })?;
        let weights = self.balancer.loss_weights(&info)?.weights;
        Ok(weighted_total(losses, &tasks, &weights))
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

    /// Whether the gradients of the losses must end in front of the heads.
    pub(super) fn cuts(&self) -> bool {
        self.balancer.kind() == BalancerKind::Features
    }

    pub(super) fn aggregates(&self) -> bool {
        self.balancer.kind() != BalancerKind::Loss
    }

    /// Whether the step behind `step` measures conflict.
    pub(super) fn measures_conflict(&self, step: u64) -> bool {
        self.conflict_every.is_some_and(|every| (step + 1).is_multiple_of(every))
    }

    /// The sum of the losses with the loss weighting's weights, a float64 scalar.
    pub(super) fn total(&self, info: &StepInfo) -> Result<Tensor> {
        let weights = self.balancer.loss_weights(info)?.weights;
        let terms = weights.iter().zip(info.losses()).map(|(weight, loss)| weight * loss);
        Ok(Tensor::from(terms.sum::<f64>()))
    }

    pub(super) fn nothing_to_combine(&self) -> Error {
        let reason = "expected parameters shared by at least two tasks, found none; a loss weighting \
                      other than gradnorm works without";
        self.refused(if self.aggregates() { "gradient" } else { "loss" }, reason)
    }

    pub(super) fn nothing_in_common(&self) -> Error {
        let reason = "expected features that all tasks share, found features per task from this \
                      adapter; use mgda instead";
        self.refused("gradient", reason)
    }

    fn refused(&self, key: &str, reason: &str) -> Error {
        let (origin, key) = (self.name.clone(), format!("balancer.{key}"));
        Error::Recipe { origin, key, reason: reason.into() }
    }
}
