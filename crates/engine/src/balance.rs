//! Joins a [`Balancing`] with the trainer: which gradients are formed, and what goes into them.
//!
//! A loss balancer costs one backward pass of weighed losses. A gradient combiner costs one for
//! each task: rows of gradients over the shared parameters, which it combines, and the gradients of
//! each task's own parameters, which it may weigh. Which parameters are shared is asked of autograd
//! before the first step of a process.
//!
//! Three methods ask for more: GradNorm for the lengths of gradients over some shared parameters,
//! MGDA-UB for gradients that end at a [`Cut`](crate::features::Cut) in front of the heads, and
//! AdaTask, in the optimiser's place, for the rows themselves.
//!
//! A task without labels in a batch has no row and moves no memory; its own parameters get a
//! gradient of 0. A loss or gradient that is not finite leaves everything as it was.

mod at_cut;
mod combine;
mod formed;
mod last_block;
mod look_ahead;
mod one_pass;
mod prepare;
mod reach;
mod recipe;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{BalancerKind, Balancing, Batch};
use polyptych_tensor::{Device, Kind, Tensor, Tensors};

use crate::conflict::Layout;
use crate::{Error, Recipe, Result};

pub(crate) use formed::{Balanced, Formed};
pub(crate) use look_ahead::LookAhead;
pub(crate) use one_pass::backward;
pub(crate) use reach::Reach;
pub(crate) use recipe::{alone, by_task, num_buffers, of_shared, validate};
use rows::Rows;

/// Balancing within one run.
#[derive(Debug)]
pub(crate) struct Balance {
    balancing: Balancing,
    /// Whether the optimiser takes every task's gradients.
    by_task: bool,
    conflict_every: Option<u64>,
    name: String,
    tasks: Vec<String>,
    seed: u64,
    params: Vec<(String, Tensor)>,
    found: Option<Found>,
}

/// What is found out before the first step.
#[derive(Debug)]
struct Found {
    reach: Reach,
    layout: Layout,
    rows: Option<Rows>,
    /// Those of further batches.
    further: Vec<Rows>,
}

impl Balance {
    /// The balancing that `recipe` asks for, if it does, over the trainable `params`.
    ///
    /// # Errors
    /// A constant that is out of its range.
    pub(crate) fn new(recipe: &Recipe, params: &[(String, Tensor)]) -> Result<Option<Self>> {
        if !recipe::balances(recipe) {
            return Ok(None);
        }
        let balancing = recipe::init(recipe, recipe.tasks.len()).map_err(Error::Losses)?;
        Ok(Some(Self {
            balancing,
            by_task: recipe::by_task(recipe),
            conflict_every: recipe.train.conflict_every.filter(|_| recipe.tasks.len() > 1),
            name: recipe.name.clone(),
            tasks: recipe.task_names(),
            seed: recipe.seed,
            params: params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
            found: None,
        }))
    }

    /// Puts the gradients of a step into the parameters, whose gradients are 0 or none before;
    /// nothing is returned, and nothing remembered, where a number is not finite.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn backward(&mut self, formed: Formed) -> Result<Option<Balanced>> {
        finite(self.try_backward(formed))
    }

    fn try_backward(&mut self, formed: Formed) -> Result<Balanced> {
        let tasks = formed.tasks();
        if tasks.is_empty() {
            numbers(formed.losses)?;
            let total = self.one_pass(formed, &[], &[])?;
            return Ok(Balanced {
                batch: None,
                total,
                weights: Vec::new(),
                conflict: None,
                by_task: None,
            });
        }
        let batch = self.told(formed, &tasks)?;
        let measured = self.conflict_every.is_some_and(|n| (formed.step + 1).is_multiple_of(n));
        let one_pass = self.weights_of_one_pass(&batch)?;
        if measured || (one_pass.is_none() && !self.cuts()) {
            self.collect(formed, &tasks, one_pass.is_some())?;
        }
        let conflict = if measured { Some(self.conflict(&tasks)?) } else { None };
        let (total, weights, by_task) = match (one_pass, formed.cut) {
            (Some(weights), _) => (self.one_pass(formed, &tasks, &weights)?, weights, None),
            (None, Some(cut)) => (self.combine_features(formed, cut, &batch)?, Vec::new(), None),
            (None, None) => self.combine(&batch)?,
        };
        Ok(Balanced { batch: Some(batch), total, weights, conflict, by_task })
    }

    /// The method's factors by the names of the tasks.
    pub(crate) fn named_weights(&self, balanced: &Balanced) -> BTreeMap<String, f64> {
        let tasks = balanced.batch.iter().flat_map(|batch| batch.tasks());
        let names = tasks.map(|&task| self.tasks[task].clone());
        names.zip(balanced.weights.iter().copied()).collect()
    }

    /// The primary tasks, where the method looks ahead.
    pub(crate) fn primary(&self) -> Option<Vec<usize>> {
        let names = self.balancing.primary()?;
        let all = 0..self.tasks.len();
        Some(all.filter(|&task| names.is_empty() || names.contains(&self.tasks[task])).collect())
    }

    /// Further batches that a step needs for the rows of its combiner.
    pub(crate) fn further_batches(&self) -> usize {
        self.balancing.further_batches()
    }

    /// Whether the gradients of the losses must end in front of the heads.
    pub(crate) fn cuts(&self) -> bool {
        self.balancing.kind() == BalancerKind::Features
    }

    /// Moves what the balancer learns, after the optimiser's step.
    ///
    /// `new_losses`: those of the same tasks after the step, where [`Balance::asks_again`].
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn after_step(&mut self, batch: &Batch, new_losses: Option<&[f64]>) -> Result<()> {
        match self.balancing.after_step(batch, new_losses) {
            // The step is done; only what it taught is lost.
            Err(LossError::NonFinite { .. }) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Whether [`Balance::after_step`] needs the losses of the same batch again.
    pub(crate) fn asks_again(&self) -> bool {
        self.balancing.needs_new_losses()
    }

    /// What a resumed run needs.
    pub(crate) fn state(&self) -> Tensors {
        state::to_tensors(&self.balancing.state())
    }

    /// Goes on where [`Balance::state`] was taken.
    ///
    /// # Errors
    /// The state of another balancer or number of tasks.
    pub(crate) fn restore(&mut self, saved: &Tensors) -> Result<()> {
        Ok(self.balancing.restore(&state::from_tensors(saved)?)?)
    }

    fn combines(&self) -> bool {
        self.balancing.kind() != BalancerKind::Loss
    }
}

/// Nothing in the place of an error that asks to skip the step.
pub(crate) fn finite<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Losses(LossError::NonFinite { .. })) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Scalars as numbers, in one transfer.
pub(crate) fn numbers(scalars: &[Tensor]) -> Result<Vec<f64>> {
    let stacked = Tensor::stack(scalars, 0).detach().to_kind(Kind::Double);
    Ok(Vec::<f64>::try_from(&stacked.to_device(Device::Cpu))?)
}
