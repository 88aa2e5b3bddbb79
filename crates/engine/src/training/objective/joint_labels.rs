//! One loss for the tasks that learn in a joint space of labels, beside those of the other tasks.

use polyptych_losses::LossValue;
use polyptych_tensor::{GradScaler, Tensor, Tensors};

use super::pass::Pass;
use super::step::StepInputs;
use super::task_losses::TaskLosses;
use crate::model::joint_labels::{JointLabels, JointLoss};
use crate::training::balance::one_pass::backward;
use crate::{Model, Result};

/// The loss of the joint space of labels, plus the weighted sum of the losses of other tasks.
#[derive(Debug)]
pub(super) struct JointLabelsObjective {
    others: TaskLosses,
    joint: JointLabels,
}

impl JointLabelsObjective {
    /// The objective of the tasks that `model` trains, some of which `joint` joins.
    pub(super) fn new(model: &Model, joint: JointLabels) -> Self {
        Self { others: TaskLosses::new(model, |index| joint.joins(index)), joint }
    }

    /// Goes through the model and back once, since the joint loss needs the outputs of all tasks.
    ///
    /// # Errors
    /// An image of another shape, or with a class in several tasks.
    pub(super) fn backward(
        &mut self,
        inputs: StepInputs,
        scaler: Option<&GradScaler>,
    ) -> Result<Pass> {
        let StepInputs { model, batch, .. } = inputs;
        let outputs = model.forward_train(batch.images, batch.seed)?;
        model.store.zero_grad();
        let others = self.others.forward(model, &outputs, batch.batch)?;
        let terms = self.others.weighted(model, &others).into_iter();
        let joint = self.joint.forward(&model.ranks, &outputs, batch.batch)?;
        let total = match terms.reduce(|sum, term| sum + term) {
            Some(sum) => sum + &joint.total,
            None => joint.total.shallow_clone(),
        };
        let mut losses = self.others.named(model, others);
        losses.extend(named(joint));
        backward(&total, scaler, &model.ranks, &model.store.trainable())?;
        let loss = total.double_value(&[]);
        Ok(Pass { loss, has_gradients: true, losses, penalty: None, balanced: None })
    }

    /// What a resumed run needs.
    pub(super) fn state(&self) -> Tensors {
        self.joint.state()
    }

    /// Goes on where [`JointLabelsObjective::state`] was taken.
    ///
    /// # Errors
    /// A bank of another number of classes.
    pub(super) fn restore(&mut self, saved: &Tensors) -> Result<()> {
        self.joint.restore(saved)
    }
}

/// The parts of a joint loss by name.
fn named(loss: JointLoss) -> impl Iterator<Item = (String, LossValue)> {
    let retained = loss.quality_retaining.map(|loss| {
        let labelled = Tensor::from(1i64);
        ("quality_retaining".to_owned(), LossValue { loss, labelled })
    });
    loss.by_task.into_iter().map(|(task, loss)| (task, reported(loss))).chain(retained)
}

/// The loss of a task of the joint space; none where the batch has no label of it.
fn reported(loss: Option<f64>) -> LossValue {
    let labelled = Tensor::from(i64::from(loss.is_some()));
    LossValue { loss: Tensor::from(loss.unwrap_or_default()), labelled }
}
