//! The losses of the tasks that learn by one of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use polyptych_data::Batch;
use polyptych_losses::{LossValue, LossWeights};
use polyptych_tensor::{Device, Tensor};

use super::step::StepBatch;
use crate::training::balance::numbers::numbers;
use crate::{Model, Result, to_tensor};

/// The tasks that learn by a loss of their own.
#[derive(Debug)]
pub(super) struct TaskLosses {
    tasks: Vec<TaskPosition>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy)]
struct TaskPosition {
    /// On the task axis.
    index: usize,
    /// Among the outputs of the tasks that learn.
    output: usize,
}

/// Losses, and whether their tasks have labels.
pub(super) struct LabelledLosses {
    /// Not weighted.
    pub(super) values: Vec<LossValue>,
    pub(super) labelled: Vec<bool>,
}

impl TaskLosses {
    /// The tasks that `model` trains, without those of the task axis that `joins` accepts.
    pub(super) fn new(model: &Model, joins: impl Fn(usize) -> bool) -> Self {
        let all = model.learning().iter().enumerate();
        let tasks = all.map(|(output, &index)| TaskPosition { index, output });
        Self { tasks: tasks.filter(|task| !joins(task.index)).collect() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The place of the task at `index` of the task axis among them, which it must be one of.
    pub(super) fn place(&self, index: usize) -> usize {
        self.tasks.iter().position(|task| task.index == index).unwrap_or_default()
    }

    /// Their fixed weights.
    ///
    /// # Errors
    /// No task, or a weight that is negative or not finite.
    pub(super) fn weights(&self, model: &Model) -> Result<LossWeights> {
        let weight = |task: &TaskPosition| {
            let task = &model.tasks[task.index];
            (task.spec.name.as_str(), task.recipe.weight)
        };
        Ok(LossWeights::new(self.tasks.iter().map(weight))?)
    }

    /// The losses, not weighted; `outputs` are those of all tasks that learn. Where the model has
    /// several ranks their numbers are those of the whole batch, and their graphs those of this
    /// rank's part: gradients of all ranks add up to those of the whole.
    ///
    /// # Errors
    /// Targets of another shape, or a rank that is gone.
    pub(super) fn forward(
        &self,
        model: &Model,
        outputs: &[Tensor],
        batch: StepBatch,
    ) -> Result<Vec<LossValue>> {
        if !model.ranks.are_many() {
            let one =
                |task: &TaskPosition| loss_of(model, task.index, &outputs[task.output], batch);
            return self.tasks.iter().map(one).collect();
        }
        let sums = self.label_sums(model, batch.batch)?;
        let shares = self.tasks.iter().zip(&sums).map(|(task, all)| {
            let part = PartOfBatch { batch, rows: 0..batch.batch.names.len(), all };
            share_of(model, task.index, &outputs[task.output], part)
        });
        self.of_whole(model, shares.collect::<Result<_>>()?)
    }

    /// What losses must know of the labels of the whole batch, of whose parts `batch` is one.
    ///
    /// # Errors
    /// A rank that is gone.
    pub(super) fn label_sums(&self, model: &Model, batch: &Batch) -> Result<Vec<Vec<f64>>> {
        let own = self.tasks.iter().map(|task| {
            let task = &model.tasks[task.index];
            let target =
                task.loss_target(to_tensor(&batch.targets[&task.spec.name], Device::Cpu))?;
            Ok(task.loss.label_sums(&target))
        });
        let own = own.collect::<Result<Vec<Vec<f64>>>>()?;
        let mut all = model.ranks.sums(&own.concat())?.into_iter();
        Ok(own.iter().map(|sums| all.by_ref().take(sums.len()).collect()).collect())
    }

    /// Losses with the numbers of the whole batch and the graphs of the `shares` of this rank.
    ///
    /// # Errors
    /// A rank that is gone.
    pub(super) fn of_whole(&self, model: &Model, shares: Vec<LossValue>) -> Result<Vec<LossValue>> {
        if !model.ranks.are_many() || shares.is_empty() {
            return Ok(shares);
        }
        let own: Vec<Tensor> = shares.iter().map(|share| share.loss.shallow_clone()).collect();
        let all = model.ranks.sums(&numbers(&own)?)?;
        let whole = |(share, number): (LossValue, f64)| {
            // Exactly 0, but for what is not finite and must stay so.
            let nothing = &share.loss - share.loss.detach();
            let loss = nothing + f64::from(number as f32);
            LossValue { loss, labelled: share.labelled }
        };
        Ok(shares.into_iter().zip(all).map(whole).collect())
    }

    /// As [`TaskLosses::forward`], and which tasks have labels.
    ///
    /// # Errors
    /// As [`TaskLosses::forward`].
    pub(super) fn labelled(
        &self,
        model: &Model,
        outputs: &[Tensor],
        batch: StepBatch,
    ) -> Result<LabelledLosses> {
        let values = self.forward(model, outputs, batch)?;
        let labelled = self.tasks.iter().zip(&values).map(|(task, value)| {
            match value.labelled.device() {
                Device::Cpu => value.labelled.int64_value(&[]) > 0,
                // The labels are here, too.
                _ => has_labels(model, task.index, batch.batch),
            }
        });
        Ok(LabelledLosses { labelled: labelled.collect(), values })
    }

    /// `losses` times the fixed weights of the recipe.
    pub(super) fn weighted(&self, model: &Model, losses: &[LossValue]) -> Vec<Tensor> {
        let weights = self.tasks.iter().map(|task| model.tasks[task.index].recipe.weight);
        losses.iter().zip(weights).map(|(value, weight)| &value.loss * weight).collect()
    }

    /// `losses` by the names of their tasks.
    pub(super) fn named(
        &self,
        model: &Model,
        losses: Vec<LossValue>,
    ) -> BTreeMap<String, LossValue> {
        let names = self.tasks.iter().map(|task| model.tasks[task.index].spec.name.clone());
        names.zip(losses).collect()
    }
}

/// Rows of a batch that is a part of a larger one.
pub(super) struct PartOfBatch<'a> {
    pub(super) batch: StepBatch<'a>,
    pub(super) rows: Range<usize>,
    /// What the loss must know of the labels of the whole.
    pub(super) all: &'a [f64],
}

/// The share of a part in the loss of the task at `index` of the task axis; `output` is of the
/// part's rows.
///
/// # Errors
/// Targets of another shape.
pub(super) fn share_of(
    model: &Model,
    index: usize,
    output: &Tensor,
    PartOfBatch { batch, rows, all }: PartOfBatch,
) -> Result<LossValue> {
    let task = &model.tasks[index];
    let part = |of: Tensor| of.narrow(0, rows.start as i64, rows.len() as i64);
    let labels = to_tensor(&batch.batch.targets[&task.spec.name], Device::Cpu);
    let own = task.loss.label_sums(&task.loss_target(part(labels))?);
    let target = task.loss_target(part(batch.target(&task.spec.name)))?;
    Ok(task.loss.share(output, &target, &own, all)?)
}

/// Whether `batch` has a label for the task at `index` of the task axis.
pub(super) fn has_labels(model: &Model, index: usize, batch: &Batch) -> bool {
    batch.targets[&model.tasks[index].spec.name].iter().any(|label| !label.is_nan())
}

/// The loss of the task at `index` of the task axis.
///
/// # Errors
/// Targets of another shape.
pub(crate) fn loss_of(
    model: &Model,
    index: usize,
    output: &Tensor,
    batch: StepBatch,
) -> Result<LossValue> {
    let task = &model.tasks[index];
    let target = task.loss_target(batch.target(&task.spec.name))?;
    Ok(task.loss.forward(output, &target)?)
}
