//! The sum of all losses, each times the weight of its task: `sum_t w_t L_t`.

use polyptych_losses::{LossValue, LossWeights};
use polyptych_tensor::GradScaler;

use super::pass::Pass;
use super::step::StepInputs;
use super::task_losses::{TaskLosses, loss_of};
use crate::{Model, Result};

/// Fixed weights, from the recipe.
#[derive(Debug)]
pub(super) struct WeightedSum {
    losses: TaskLosses,
    weights: LossWeights,
}

impl WeightedSum {
    /// The sum over all tasks that `model` trains.
    ///
    /// # Errors
    /// No task, or a weight that is negative or not finite.
    pub(super) fn new(model: &Model) -> Result<Self> {
        let losses = TaskLosses::new(model, |_| false);
        Ok(Self { weights: losses.weights(model)?, losses })
    }

    /// Goes forward and back through one head after the other: tasks meet in the trunk alone.
    ///
    /// # Errors
    /// An image of another shape.
    pub(super) fn backward(&self, inputs: StepInputs, scaler: Option<&GradScaler>) -> Result<Pass> {
        let StepInputs { model, batch, .. } = inputs;
        model.store.zero_grad();
        let scale = scaler.map_or(1.0, GradScaler::scale);
        let (mut losses, mut terms) = (Vec::new(), Vec::new());
        model.backward_by_head(batch.images, batch.seed, |index, output| {
            let loss = loss_of(model, index, output, batch.batch)?;
            let term = self.weights.term(losses.len(), &loss);
            losses.push(LossValue { loss: loss.loss.detach(), labelled: loss.labelled });
            terms.push(term.detach());
            Ok(if scale == 1.0 { term } else { term * scale })
        })?;
        if let Some(scaler) = scaler {
            scaler.unscale(&model.store.trainable())?;
        }
        let total = terms.into_iter().reduce(|sum, term| sum + term);
        let loss = total.map_or(0.0, |total| total.double_value(&[]));
        let losses = self.losses.named(model, losses);
        Ok(Pass { loss, has_gradients: true, losses, penalty: None, balanced: None })
    }
}
