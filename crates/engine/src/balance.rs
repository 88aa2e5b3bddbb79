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
mod last_block;
mod look_ahead;
mod reach;
mod recipe;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{
    BalancerKind, Balancing, Batch, Gram, Key, NormsOver, RowWeights, cross_of_rows, gram_of_rows,
};
use polyptych_tensor::optim::{TaskGradients, clip_factor, clip_grad_norm};
use polyptych_tensor::{GradScaler, Kind, Tensor, Tensors};

use crate::conflict::{Conflict, Layout};
use crate::features::Cut;
use crate::{Error, Model, Recipe, Result};

pub(crate) use look_ahead::LookAhead;
pub(crate) use reach::Reach;
pub(crate) use recipe::{by_task, num_buffers, of_shared, validate};
use rows::{Rows, gradients};

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

/// What a step's gradients are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Formed<'a> {
    /// Float32 scalar of every task.
    pub(crate) losses: &'a [Tensor],
    /// Whether the task has any label.
    pub(crate) labelled: &'a [bool],
    /// Where the graphs of the losses end, where the method asks for a cut.
    pub(crate) cut: Option<&'a Cut>,
    /// Every task's gain, where the method looks ahead.
    pub(crate) gains: Option<&'a [f64]>,
    /// For backward passes in float16, whose scale no gradient keeps.
    pub(crate) scaler: Option<&'a GradScaler>,
    /// Steps done before.
    pub(crate) step: u64,
}

impl Formed<'_> {
    fn scale(&self) -> f64 {
        self.scaler.map_or(1.0, GradScaler::scale)
    }
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
    /// Factors of every task's gradients, for an optimiser that takes them apart.
    by_task: Option<RowWeights>,
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

    /// Finds out, once, which parameters are shared; to be called before a step is seeded.
    ///
    /// # Errors
    /// A combiner without shared parameters.
    pub(crate) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<()> {
        if self.found.is_some() || !self.needs_reach() {
            return Ok(());
        }
        let reach = Reach::find(model, &self.params, images)?;
        let norms = self.balancing.norms_over().is_some() && self.tasks.len() > 1;
        if (self.combines() || norms) && reach.shared.is_empty() {
            return Err(self.nothing_to_combine());
        }
        if self.cuts() && model.encode(images, false)?.cut().is_none() {
            return Err(self.nothing_in_common());
        }
        if self.combines() || self.by_task {
            self.define_gradients(&reach)?;
        }
        let layout = Layout::new(&reach, &self.params);
        self.found = Some(Found { reach, layout, rows: None, further: Vec::new() });
        Ok(())
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
        let Formed { losses, labelled, step, .. } = formed;
        let tasks: Vec<usize> = (0..losses.len()).filter(|&task| labelled[task]).collect();
        if tasks.is_empty() {
            numbers(losses)?;
            let total = self.one_pass(formed, &[], &[])?;
            return Ok(Balanced { batch: None, total, conflict: None, by_task: None });
        }
        let batch = self.told(formed, &tasks)?;
        let measured = self.conflict_every.is_some_and(|n| (step + 1).is_multiple_of(n));
        let one_pass = self.weights_of_one_pass(&batch)?;
        if measured || (one_pass.is_none() && !self.cuts()) {
            self.collect(formed, &tasks, one_pass.is_some())?;
        }
        let conflict = if measured { Some(self.conflict(&tasks)?) } else { None };
        let (total, by_task) = match (one_pass, formed.cut) {
            (Some(weights), _) => (self.one_pass(formed, &tasks, &weights)?, None),
            (None, Some(cut)) => (self.combine_features(formed, cut, &batch)?, None),
            (None, None) => self.combine(&batch)?,
        };
        Ok(Balanced { batch: Some(batch), total, conflict, by_task })
    }

    /// What the balancing is told about the step.
    fn told(&self, formed: Formed, tasks: &[usize]) -> Result<Batch> {
        let own = |all: &[f64]| tasks.iter().map(|&task| all[task]).collect::<Vec<f64>>();
        let key = Key { seed: self.seed, step: formed.step };
        let losses = own(&numbers(formed.losses)?);
        let mut batch = Batch::new(formed.losses.len(), tasks, &losses, key)?;
        if let Some(gains) = formed.gains {
            batch = batch.with_gains(&own(gains))?;
        }
        if let Some(over) = self.balancing.norms_over() {
            batch = batch.with_norms(&self.norms(over, formed, tasks)?)?;
        }
        Ok(batch)
    }

    /// Lengths of the gradients of `tasks`, whose graphs stay.
    fn norms(&self, over: NormsOver, formed: Formed, tasks: &[usize]) -> Result<Vec<f64>> {
        let reach = &self.found.as_ref().expect("the reach is found first").reach;
        let indices = match over {
            NormsOver::LastBlock => {
                last_block::last_block(reach, formed.losses.len(), &self.params)
            }
            NormsOver::All => last_block::all(reach, formed.losses.len()),
        };
        let wanted: Vec<&Tensor> = indices.iter().map(|&index| &self.params[index].1).collect();
        let one = |&task: &usize| -> Result<f64> {
            let found = gradients(&formed.losses[task], &wanted, (formed.scale(), true))?;
            let found = found.into_iter();
            let squares = found.filter(Tensor::defined).map(|grad| {
                grad.detach().to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])
            });
            Ok(squares.sum::<f64>().sqrt())
        };
        tasks.iter().map(one).collect()
    }

    /// The weighed sum of the losses, for a virtual step.
    ///
    /// # Errors
    /// As [`Balance::backward`], [`LossError::NonFinite`] as well.
    pub(crate) fn virtual_total(
        &self,
        losses: &[Tensor],
        labelled: &[bool],
        step: u64,
    ) -> Result<Tensor> {
        let tasks: Vec<usize> = (0..losses.len()).filter(|&task| labelled[task]).collect();
        if tasks.is_empty() {
            return Ok(weighed_total(losses, &[], &[]));
        }
        let all = numbers(losses)?;
        let own: Vec<f64> = tasks.iter().map(|&task| all[task]).collect();
        let batch = Batch::new(losses.len(), &tasks, &own, Key { seed: self.seed, step })?;
        let weights = self.balancing.loss_weights(&batch)?.weights;
        Ok(weighed_total(losses, &tasks, &weights))
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

    /// Collects the rows of one of the further batches, the first one at `index` 0.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect_further(&mut self, index: usize, formed: Formed) -> Result<()> {
        let (params, losses) = (&self.params, formed.losses);
        let Found { reach, further, .. } = self.found.as_mut().expect("the reach is found first");
        further.truncate(index);
        let mut rows = Rows::new(losses.len(), reach, params);
        let tasks: Vec<usize> = (0..losses.len()).filter(|&task| formed.labelled[task]).collect();
        rows.collect(losses, &tasks, (reach, params), (formed.scale(), false))?;
        rows.forget_private();
        further.push(rows);
        Ok(())
    }

    /// Whether the gradients of the losses must end in front of the heads.
    pub(crate) fn cuts(&self) -> bool {
        self.balancing.kind() == BalancerKind::Features
    }

    /// Every task's gradients, as the sum of them was clipped from the length `norm` to `max`.
    pub(crate) fn by_task(&self, balanced: &Balanced, norm: f64, max: f64) -> Vec<TaskGradients> {
        let (Some(batch), Some(weights)) = (&balanced.batch, &balanced.by_task) else {
            return Vec::new();
        };
        let Found { reach, rows, .. } = self.found.as_ref().expect("the reach is found first");
        let rows = rows.as_ref().expect("the rows are collected first");
        let clip = clip_factor(norm, max);
        let factors = |all: &[f64]| all.iter().map(|factor| factor * clip).collect();
        let weights =
            RowWeights { shared: factors(&weights.shared), private: factors(&weights.private) };
        rows.by_task(batch.tasks(), &weights, (reach, &self.params))
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
        let asked = self.balancing.max_norm().is_some() || self.balancing.norms_over().is_some();
        self.combines() || self.by_task || asked || self.conflict_every.is_some()
    }

    fn nothing_to_combine(&self) -> Error {
        let reason = "expected trainable parameters that two tasks or more share, found none; a \
                      balancer of kind loss other than gradnorm needs none";
        self.refused(if self.combines() { "gradient" } else { "loss" }, reason)
    }

    fn nothing_in_common(&self) -> Error {
        let reason = "expected features that all tasks read, found some of one task alone, which \
                      its adapter makes; mgda needs none";
        self.refused("gradient", reason)
    }

    fn refused(&self, key: &str, reason: &str) -> Error {
        let (origin, key) = (self.name.clone(), format!("balancer.{key}"));
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
            false if self.by_task => Ok(None),
            false => Ok(Some(self.balancing.loss_weights(batch)?.weights)),
        }
    }

    /// One backward pass of the sum of weighed losses. Losses of tasks without labels are 0: they
    /// stay in the sum, so that it is the sum that a recipe without balancer has.
    fn one_pass(&self, formed: Formed, tasks: &[usize], weights: &[f64]) -> Result<f64> {
        let total = weighed_total(formed.losses, tasks, weights);
        backward(&total, formed.scaler, &self.params)?;
        self.shorten();
        Ok(total.double_value(&[]))
    }

    /// Shortens the shared gradient to what the method allows.
    fn shorten(&self) {
        if let (Some(max), Some(found)) = (self.balancing.max_norm(), &self.found) {
            let shared = found.reach.shared.iter().map(|shared| {
                let (name, param) = &self.params[shared.index];
                (name.clone(), param.shallow_clone())
            });
            clip_grad_norm(&shared.collect::<Vec<_>>(), max);
        }
    }

    fn collect(&mut self, formed: Formed, tasks: &[usize], keep: bool) -> Result<()> {
        let (params, found) = (&self.params, self.found.as_mut());
        let Found { reach, rows, .. } = found.expect("the reach is found first");
        let rows = rows.get_or_insert_with(|| Rows::new(formed.losses.len(), reach, params));
        rows.collect(formed.losses, tasks, (reach, params), (formed.scale(), keep))
    }

    fn conflict(&self, tasks: &[usize]) -> Result<Conflict> {
        let found = self.found.as_ref().expect("the reach is found first");
        let rows = found.rows.as_ref().expect("the rows are collected first").shared();
        let names = tasks.iter().map(|&task| self.tasks[task].clone()).collect();
        Conflict::measure(names, &rows, &found.layout)
    }

    /// Combines the gradients at `cut`; the sum of the losses with the loss balancer's weights.
    fn combine_features(&mut self, formed: Formed, cut: &Cut, batch: &Batch) -> Result<f64> {
        let reach = &self.found.as_ref().expect("the reach is found first").reach;
        let total = self.total(batch)?;
        let (losses, scaler) = (formed.losses, formed.scaler);
        at_cut::combine(&mut self.balancing, losses, (cut, scaler), batch, (reach, &self.params))?;
        self.shorten();
        Ok(total)
    }

    fn total(&self, batch: &Batch) -> Result<f64> {
        let weights = self.balancing.loss_weights(batch)?.weights;
        Ok(weights.iter().zip(batch.losses()).map(|(weight, loss)| weight * loss).sum())
    }

    /// Combines the collected rows; the sum of the losses with the loss balancer's weights, and
    /// the factors of rows that the optimiser takes apart, whose sum is put into the gradients.
    fn combine(&mut self, batch: &Batch) -> Result<(f64, Option<RowWeights>)> {
        let total = self.total(batch)?;
        let (params, by_task, balancing) = (&self.params, self.by_task, &mut self.balancing);
        let found = self.found.as_mut().expect("the reach is found first");
        let Found { reach, rows, further, .. } = found;
        let rows = rows.as_mut().expect("the rows are collected first");
        if !rows.private_are_finite() {
            let key = "private gradients".to_owned();
            return Err(LossError::NonFinite { key, found: f64::NAN }.into());
        }
        let mut shared = rows.shared();
        if balancing.kind() == BalancerKind::Rows {
            let (direction, private) = balancing.direction(&mut shared, batch)?;
            rows.deposit(&direction, batch.tasks(), &private, (reach, params))?;
            rows.forget_private();
            return Ok((total, None));
        }
        let gram = gram_of_rows(&shared)?;
        let factors = match by_task {
            true => added(balancing, &gram, batch)?,
            false => {
                let judge = cross(further, batch.tasks())?;
                balancing.row_weights_by(judge.as_ref().unwrap_or(&gram), &gram, batch)?
            }
        };
        let direction = weighted_sum(&shared, &factors.shared);
        rows.deposit(&direction, batch.tasks(), &factors.private, (reach, params))?;
        if by_task {
            return Ok((total, Some(factors)));
        }
        rows.forget_private();
        Ok((total, None))
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

/// The weights of a plain sum, shortened to what the loss balancer allows.
fn added(balancing: &Balancing, gram: &Gram, batch: &Batch) -> Result<RowWeights> {
    let private = balancing.loss_weights(batch)?.weights;
    let norm = gram.norm_of(&private);
    let clip = balancing.max_norm().filter(|max| norm > *max).map_or(1.0, |max| max / norm);
    Ok(RowWeights { shared: private.iter().map(|weight| weight * clip).collect(), private })
}

/// The products of two further batches' rows; none where one of them lacks one of `tasks`.
fn cross(further: &[Rows], tasks: &[usize]) -> Result<Option<Gram>> {
    let [one, other] = further else { return Ok(None) };
    match (one.of(tasks), other.of(tasks)) {
        (Some(one), Some(other)) => Ok(Some(cross_of_rows(&one, &other)?)),
        _ => Ok(None),
    }
}

/// The sum of all losses, those of `tasks` times their weights.
fn weighed_total(losses: &[Tensor], tasks: &[usize], weights: &[f64]) -> Tensor {
    let weight =
        |task: usize| tasks.iter().position(|&own| own == task).map_or(1.0, |place| weights[place]);
    let terms = losses.iter().enumerate().map(|(task, loss)| loss * weight(task));
    terms.reduce(|sum, term| sum + term).expect("a recipe has at least one task")
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
