//! What a step minimises: a weighted sum of losses, losses that a balancer weighs against each
//! other, or one loss in the joint space of labels of several tasks.
//!
//! An objective owns all that it remembers: weights, balancer, orders of extra batches, joint space
//! of labels and the scale of losses in float16. Before a step it is prepared; what comes of that,
//! an [`ObjectiveStep`], is all that can go back through the model.

mod balanced;
mod extra_batches;
mod joint_labels;
pub(super) mod pass;
pub(super) mod step;
pub(crate) mod task_losses;
mod weighted_sum;

use std::collections::BTreeMap;

use polyptych_data::{Loader, TaskSpec};
use polyptych_tensor::optim::TaskGradients;
use polyptych_tensor::{GradScaler, Tensor, Tensors};

use super::balance::step::Clipping;
use crate::model::joint_labels::JointLabels;
use crate::recipe::balancer::balances;
use crate::{Model, Recipe, Result};
use balanced::{Balanced, BalancedPass};
use joint_labels::JointLabelsObjective;
use pass::Pass;
use step::{StepBatch, StepInputs};
use weighted_sum::WeightedSum;

/// What a run minimises, with all that it remembers.
pub(crate) struct Objective {
    losses: Losses,
    /// What losses are multiplied by in backward passes, where the run computes in float16.
    scaler: Option<GradScaler>,
}

/// How the losses of the tasks become one.
enum Losses {
    WeightedSum(WeightedSum),
    Balanced(Balanced),
    JointLabels(JointLabelsObjective),
}

/// An objective that is ready for a step.
pub(crate) struct ObjectiveStep<'a> {
    losses: LossesStep<'a>,
    scaler: Option<&'a GradScaler>,
}

enum LossesStep<'a> {
    WeightedSum(&'a WeightedSum),
    Balanced(BalancedPass<'a>),
    JointLabels(&'a mut JointLabelsObjective),
}

impl Objective {
    /// The objective of `recipe` over `params`, the trainable ones of `model`; extra batches are
    /// samples of `train`.
    ///
    /// # Errors
    /// A constant that is out of its range, or nothing to minimise.
    pub(crate) fn new(
        recipe: &Recipe,
        specs: &[TaskSpec],
        model: &Model,
        params: &[(String, Tensor)],
        train: &Loader,
    ) -> Result<Self> {
        let joint = JointLabels::new(recipe, specs, model.store.device())?;
        let losses = match joint {
            _ if balances(recipe) => Losses::Balanced(Balanced::new(recipe, model, params, train)?),
            Some(joint) => Losses::JointLabels(JointLabelsObjective::new(model, joint)),
            None => Losses::WeightedSum(WeightedSum::new(model, recipe.train.accumulate)?),
        };
        let scaler = recipe.precision.scales_losses().then(GradScaler::default);
        Ok(Self { losses, scaler })
    }

    /// Makes it ready for a step with `images`, `[batch, 3, height, width]`. The first call of a
    /// process asks which parameters tasks share, where a balancer needs to know; to be called
    /// before a step is seeded.
    ///
    /// # Errors
    /// A balancer that needs shared parameters where there are none.
    pub(crate) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<ObjectiveStep<'_>> {
        let losses = match &mut self.losses {
            Losses::WeightedSum(sum) => LossesStep::WeightedSum(sum),
            Losses::Balanced(balanced) => LossesStep::Balanced(balanced.prepare(model, images)?),
            Losses::JointLabels(joint) => LossesStep::JointLabels(joint),
        };
        Ok(ObjectiveStep { losses, scaler: self.scaler.as_ref() })
    }

    /// Every task's gradients of `pass`, whose sum was clipped, for an optimiser that takes them
    /// apart; none where no balancer has collected them.
    pub(crate) fn gradients_by_task(&self, pass: &Pass, clipping: Clipping) -> Vec<TaskGradients> {
        match (&self.losses, &pass.balanced) {
            (Losses::Balanced(balanced), Some(step)) => balanced.gradients_by_task(step, clipping),
            _ => Vec::new(),
        }
    }

    /// The balancer's factors in `pass` by the names of the tasks; none without a balancer.
    pub(crate) fn named_weights(&self, pass: &Pass) -> BTreeMap<String, f64> {
        match (&self.losses, &pass.balanced) {
            (Losses::Balanced(balanced), Some(step)) => balanced.named_weights(step),
            _ => BTreeMap::new(),
        }
    }

    /// Moves what learns from the optimiser's step, which is done.
    ///
    /// # Errors
    /// A loss that the method has no weight for.
    pub(crate) fn after_step(
        &mut self,
        model: &Model,
        batch: StepBatch,
        pass: &Pass,
    ) -> Result<()> {
        match (&mut self.losses, &pass.balanced) {
            (Losses::Balanced(balanced), Some(step)) => balanced.after_step(model, batch, step),
            _ => Ok(()),
        }
    }

    /// What losses are multiplied by in backward passes; none where `precision` needs none.
    pub(crate) fn loss_scale(&self) -> Option<f64> {
        self.scaler.as_ref().map(GradScaler::scale)
    }

    /// Moves the scale of the losses; `finite`: whether all gradients of the step were.
    pub(crate) fn update_loss_scale(&mut self, finite: bool) {
        if let Some(scaler) = &mut self.scaler {
            scaler.update(finite);
        }
    }

    /// What a resumed run needs.
    pub(crate) fn state(&self) -> Tensors {
        let mut state = match &self.losses {
            Losses::WeightedSum(_) => Tensors::new(),
            Losses::Balanced(balanced) => balanced.state(),
            Losses::JointLabels(joint) => joint.state(),
        };
        state.extend(self.scaler.as_ref().map_or_else(Tensors::new, GradScaler::state));
        state
    }

    /// Goes on where [`Objective::state`] was taken.
    ///
    /// # Errors
    /// The state of another objective.
    pub(crate) fn restore(&mut self, saved: &Tensors) -> Result<()> {
        match &mut self.losses {
            Losses::WeightedSum(_) => {}
            Losses::Balanced(balanced) => balanced.restore(saved)?,
            Losses::JointLabels(joint) => joint.restore(saved)?,
        }
        match &mut self.scaler {
            Some(scaler) => Ok(scaler.restore(saved)?),
            None => Ok(()),
        }
    }
}

impl ObjectiveStep<'_> {
    /// Goes through the model and back, and fills the gradients anew.
    ///
    /// # Errors
    /// An image of another shape, or a loss that the method has no weight for.
    pub(crate) fn backward(&mut self, inputs: StepInputs) -> Result<Pass> {
        match &mut self.losses {
            LossesStep::WeightedSum(sum) => sum.backward(inputs, self.scaler),
            LossesStep::Balanced(balanced) => balanced.backward(inputs, self.scaler),
            LossesStep::JointLabels(joint) => joint.backward(inputs, self.scaler),
        }
    }
}
