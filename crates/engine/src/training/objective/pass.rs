//! What a pass through the model and back has found.

use std::collections::BTreeMap;

use polyptych_losses::LossValue;

use crate::training::balance::step::BalancedStep;
use crate::training::conflict::Conflict;

/// What the gradients of a step were computed from.
pub(crate) struct Pass {
    /// What was minimised; not a number where the balancer met one that is not finite.
    pub(crate) loss: f64,
    /// Whether there are gradients.
    pub(crate) has_gradients: bool,
    /// Parts that are reported by name, not weighted, those without a label too.
    pub(crate) losses: BTreeMap<String, LossValue>,
    /// The method's own term, whose gradient was added behind the balancer's; none without one.
    pub(crate) penalty: Option<f64>,
    /// What the balancer says of them, where there is one.
    pub(crate) balanced: Option<BalancedStep>,
}

impl Pass {
    /// The losses as numbers; none where the batch has no label of a task.
    pub(crate) fn numbers(&self) -> BTreeMap<String, Option<f64>> {
        let number = |value: &LossValue| {
            (value.labelled.int64_value(&[]) > 0).then(|| value.loss.double_value(&[]))
        };
        self.losses.iter().map(|(name, value)| (name.clone(), number(value))).collect()
    }

    /// How much the gradients of the tasks disagree, in a step that measures it.
    pub(crate) fn conflict(&self) -> Option<&Conflict> {
        self.balanced.as_ref()?.conflict.as_ref()
    }

    /// Whether the forward pass is finite, so that what is not can only be a gradient.
    pub(crate) fn losses_are_finite(&self) -> bool {
        let all = self.numbers();
        let mut finite = all.values().flatten().chain(&self.penalty);
        let finite = finite.all(|loss| loss.is_finite());
        (self.loss.is_finite() || !self.has_gradients) && finite
    }
}
