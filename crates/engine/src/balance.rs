//! Joins a [`Balancing`] with the trainer: which gradients are formed, and what goes into them.
//!
//! A loss balancer costs one backward pass of weighed losses. A gradient combiner costs one for
//! each task: rows of gradients over the shared parameters, which it combines, and the gradients of
//! each task's own parameters, which it may weigh. Which parameters are shared is asked of autograd
//! before the first step of a process.
//!
//! A task without labels in a batch has no row and moves no memory; its own parameters get a
//! gradient of 0. A loss or gradient that is not finite leaves everything as it was.

mod reach;
mod recipe;
mod rows;
mod state;

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{BalancerKind, Balancing, Batch, Key, gram_of_rows};
use polyptych_tensor::optim::clip_grad_norm;
use polyptych_tensor::{GradScaler, Kind, Tensor, Tensors};

use crate::conflict::{Conflict, Layout};
use crate::{Error, Model, Recipe, Result};

pub(crate) use reach::Reach;
pub(crate) use recipe::{needs_rows, validate};
use rows::Rows;

/// Balancing within one run.
#[derive(Debug)]
pub(crate) struct Balance {
    balancing: Balancing,
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
}

/// What a step's gradients were made of.
#[derive(Debug)]
pub(crate) struct Balanced {
    /// The tasks with labels and their losses; none if no task has any.
    pub(crate) batch: Option<Batch>,
    /// Sum of the losses, times the loss balancer's weights.
    pub(crate) total: f64,
    /// The tasks' conflict, in a step that measures it.
    pub(crate) conflict: Option<Conflict>,
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
            conflict_every: recipe.train.conflict_every.filter(|_| recipe.tasks.len() > 1),
            name: recipe.name.clone(),
            tasks: recipe.task_names(),
            seed: recipe.seed,
            params: params.iter().map(|(name, t)| (name.clone(), t.shallow_clone())).collect(),
            found: None,
        }))
    }

    /// Finds out, once, which parameters are shared; to be called before a step is seeded.
    ///
    /// # Errors
    /// A combiner without shared parameters.
    pub(crate) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<()> {
        if self.found.is_some() || !self.needs_reach() {
            return Ok(());
        }
        let reach = Reach::find(model, &self.params, images)?;
        if self.combines() {
            if reach.shared.is_empty() {
                return Err(self.nothing_to_combine());
            }
            self.define_gradients(&reach)?;
        }
        let layout = Layout::new(&reach, &self.params);
        self.found = Some(Found { reach, layout, rows: None });
        Ok(())
    }

    /// Puts the gradients of a step into the parameters, whose gradients are 0 or none before;
    /// nothing is returned, and nothing remembered, where a number is not finite.
    ///
    /// `losses`: float32 scalar of every task; `labelled`: whether it has any label; `step`: steps
    /// done before; `scaler`: for backward passes in float16, whose scale no gradient keeps.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn backward(
        &mut self,
        losses: &[Tensor],
        labelled: &[bool],
        step: u64,
        scaler: Option<&GradScaler>,
    ) -> Result<Option<Balanced>> {
        match self.try_backward(losses, labelled, step, scaler) {
            Ok(balanced) => Ok(Some(balanced)),
            Err(Error::Losses(LossError::NonFinite { .. })) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn try_backward(
        &mut self,
        losses: &[Tensor],
        labelled: &[bool],
        step: u64,
        scaler: Option<&GradScaler>,
    ) -> Result<Balanced> {
        let tasks: Vec<usize> = (0..losses.len()).filter(|&task| labelled[task]).collect();
        let numbers = numbers(losses)?;
        let own: Vec<f64> = tasks.iter().map(|&task| numbers[task]).collect();
        if tasks.is_empty() {
            let total = self.one_pass(losses, &[], &[], scaler)?;
            return Ok(Balanced { batch: None, total, conflict: None });
        }
        let key = Key { seed: self.seed, step };
        let batch = Batch::new(losses.len(), &tasks, &own, key)?;
        let measured = self.conflict_every.is_some_and(|n| (step + 1).is_multiple_of(n));
        let one_pass = self.weights_of_one_pass(&batch)?;
        if one_pass.is_none() || measured {
            let scale = scaler.map_or(1.0, GradScaler::scale);
            self.collect(losses, &tasks, (scale, one_pass.is_some()))?;
        }
        let conflict = if measured { Some(self.conflict(&tasks)?) } else { None };
        let total = match one_pass {
            Some(weights) => self.one_pass(losses, &tasks, &weights, scaler)?,
            None => self.combine(&batch)?,
        };
        Ok(Balanced { batch: Some(batch), total, conflict })
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

    fn needs_reach(&self) -> bool {
        self.combines() || self.balancing.max_norm().is_some() || self.conflict_every.is_some()
    }

    fn nothing_to_combine(&self) -> Error {
        let (origin, key) = (self.name.clone(), "balancer.gradient".to_owned());
        let reason = "expected trainable parameters that two tasks or more share, found none; a \
                      balancer of kind loss needs none";
        Error::Recipe { origin, key, reason: reason.into() }
    }

    /// LibTorch makes a gradient only in a backward pass; the rows are copied into these.
    fn define_gradients(&self, reach: &Reach) -> Result<()> {
        let zeros = reach.all().map(|index| {
            let param = &self.params[index].1;
            (param * param.detach().zeros_like()).sum(Kind::Float)
        });
        let sum = zeros.reduce(|sum, zero| sum + zero);
        if let Some(sum) = sum {
            sum.f_backward()?;
        }
        self.params.iter().for_each(|(_, param)| param.shallow_clone().zero_grad());
        Ok(())
    }

    fn weights_of_one_pass(&self, batch: &Batch) -> Result<Option<Vec<f64>>> {
        match self.combines() {
            true => Ok(self.balancing.reuse(batch)?),
            false => Ok(Some(self.balancing.loss_weights(batch)?.weights)),
        }
    }

    /// One backward pass of the sum of weighed losses. Losses of tasks without labels are 0: they
    /// stay in the sum, so that it is the sum that a recipe without balancer has.
    fn one_pass(
        &self,
        losses: &[Tensor],
        tasks: &[usize],
        weights: &[f64],
        scaler: Option<&GradScaler>,
    ) -> Result<f64> {
        let weight = |task: usize| {
            tasks.iter().position(|&own| own == task).map_or(1.0, |place| weights[place])
        };
        let terms = losses.iter().enumerate().map(|(task, loss)| loss * weight(task));
        let total = terms.reduce(|sum, term| sum + term).expect("a recipe has at least one task");
        backward(&total, scaler, &self.params)?;
        if let (Some(max), Some(found)) = (self.balancing.max_norm(), &self.found) {
            let shared = found.reach.shared.iter().map(|shared| {
                let (name, param) = &self.params[shared.index];
                (name.clone(), param.shallow_clone())
            });
            clip_grad_norm(&shared.collect::<Vec<_>>(), max);
        }
        Ok(total.double_value(&[]))
    }

    fn collect(
        &mut self,
        losses: &[Tensor],
        tasks: &[usize],
        scale_and_keep: (f64, bool),
    ) -> Result<()> {
        let (params, found) = (&self.params, self.found.as_mut());
        let Found { reach, rows, .. } = found.expect("the reach is found first");
        let rows = rows.get_or_insert_with(|| Rows::new(losses.len(), reach, params));
        rows.collect(losses, tasks, (reach, params), scale_and_keep)
    }

    fn conflict(&self, tasks: &[usize]) -> Result<Conflict> {
        let found = self.found.as_ref().expect("the reach is found first");
        let rows = found.rows.as_ref().expect("the rows are collected first").shared();
        let names = tasks.iter().map(|&task| self.tasks[task].clone()).collect();
        Conflict::measure(names, &rows, &found.layout)
    }

    /// Combines the collected rows; the sum of the losses with the loss balancer's weights.
    fn combine(&mut self, batch: &Batch) -> Result<f64> {
        let (params, balancing) = (&self.params, &mut self.balancing);
        let Found { reach, rows, .. } = self.found.as_mut().expect("the reach is found first");
        let rows = rows.as_mut().expect("the rows are collected first");
        if !rows.private_are_finite() {
            let key = "private gradients".to_owned();
            return Err(LossError::NonFinite { key, found: f64::NAN }.into());
        }
        let weights = balancing.loss_weights(batch)?.weights;
        let mut shared = rows.shared();
        let (direction, private) = match balancing.kind() {
            BalancerKind::Rows => balancing.direction(&mut shared, batch)?,
            _ => {
                let factors = balancing.row_weights(&gram_of_rows(&shared)?, batch)?;
                (weighted_sum(&shared, &factors.shared), factors.private)
            }
        };
        rows.deposit(&direction, batch.tasks(), &private, (reach, params))?;
        Ok(weights.iter().zip(batch.losses()).map(|(weight, loss)| weight * loss).sum())
    }
}

/// Fills the gradients of `params` with those of `loss`, whose backward pass `scaler` scales.
///
/// # Errors
/// What LibTorch reports.
pub(crate) fn backward(
    loss: &Tensor,
    scaler: Option<&GradScaler>,
    params: &[(String, Tensor)],
) -> Result<()> {
    let Some(scaler) = scaler else { return Ok(loss.f_backward()?) };
    (loss * scaler.scale()).f_backward()?;
    Ok(scaler.unscale(params)?)
}

/// `sum_i weights_i rows_i`, `[columns]`.
fn weighted_sum(rows: &Tensor, weights: &[f64]) -> Tensor {
    let weights = Tensor::from_slice(weights).to_kind(rows.kind()).to_device(rows.device());
    weights.unsqueeze(0).matmul(rows).squeeze_dim(0)
}

/// Scalars as numbers, in one transfer.
pub(crate) fn numbers(scalars: &[Tensor]) -> Result<Vec<f64>> {
    let stacked = Tensor::stack(scalars, 0).detach().to_kind(Kind::Double);
    Ok(Vec::<f64>::try_from(&stacked.to_device(polyptych_tensor::Device::Cpu))?)
}
