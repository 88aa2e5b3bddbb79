//! The losses of the tasks that learn by one of their own.

use std::collections::BTreeMap;

use polyptych_data::Batch;
use polyptych_losses::{LossValue, LossWeights};
use polyptych_tensor::Tensor;

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

    /// The losses, not weighted; `outputs` are those of all tasks that learn.
    ///
    /// # Errors
    /// Targets of another shape.
    pub(super) fn forward(
        &self,
        model: &Model,
        outputs: &[Tensor],
        batch: &Batch,
    ) -> Result<Vec<LossValue>> {
        let one = |task: &TaskPosition| loss_of(model, task.index, &outputs[task.output], batch);
        self.tasks.iter().map(one).collect()
    }

    /// As [`TaskLosses::forward`], and which tasks have labels.
    ///
    /// # Errors
    /// As [`TaskLosses::forward`].
    pub(super) fn labelled(
        &self,
        model: &Model,
        outputs: &[Tensor],
        batch: &Batch,
    ) -> Result<LabelledLosses> {
        let values = self.forward(model, outputs, batch)?;
        let counts: Vec<Tensor> = values.iter().map(|v| v.labelled.shallow_clone()).collect();
        let labelled = numbers(&counts)?.into_iter().map(|count| count > 0.0).collect();
        Ok(LabelledLosses { values, labelled })
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

/// The loss of the task at `index` of the task axis.
///
/// # Errors
/// Targets of another shape.
pub(super) fn loss_of(
    model: &Model,
    index: usize,
    output: &Tensor,
    batch: &Batch,
) -> Result<LossValue> {
    let task = &model.tasks[index];
    let target = to_tensor(&batch.targets[&task.spec.name], model.store.device());
    Ok(task.loss.forward(output, &target)?)
}
