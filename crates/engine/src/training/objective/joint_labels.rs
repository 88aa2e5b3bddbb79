//! One loss for the tasks that learn in a joint space of labels, beside those of the other tasks.

use polyptych_losses::LossValue;
use polyptych_tensor::{GradScaler, Tensor, Tensors};

use super::pass::Pass;
use super::step::StepInputs;
use super::task_losses::TaskLosses;
use crate::model::joint_labels::JointLabels;
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
        let outputs = model.forward_train(batch.images(), batch.seed)?;
        model.store.zero_grad();
        let others = self.others.forward(model, &outputs, batch)?;
        let terms = self.others.weighted(model, &others).into_iter();
        let joint = self.joint.forward(&model.ranks, &outputs, batch.batch)?;
        let total = match terms.reduce(|sum, term| sum + term) {
            Some(sum) => sum + &joint.total,
            None => joint.total.shallow_clone(),
        };
        let mut losses = self.others.named(model, others);
        losses.extend(joint.quality_retaining.map(|loss| {
            let labelled = Tensor::from(1i64);
            ("quality_retaining".to_owned(), LossValue { loss, labelled })
        }));
        backward(&total, scaler, model.gradient_buckets(), &model.store.trainable())?;
        let of_images = Some(joint.of_images);
        Ok(Pass { losses, of_images, ..Pass::of(total.detach()) })
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
