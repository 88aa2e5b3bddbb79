//! What a pass through the model and back has found, and the numbers of it, read at once.

use std::collections::BTreeMap;

use polyptych_losses::LossValue;
use polyptych_tensor::Tensor;

use crate::Result;
use crate::model::joint_labels::LossesOfImages;
use crate::training::balance::numbers::read;
use crate::training::balance::step::BalancedStep;
use crate::training::conflict::Conflict;

/// What the gradients of a step were computed from. Its numbers stay on the device.
pub(crate) struct Pass {
    /// What was minimised, a scalar; not a number where the balancer met one that is not finite.
    pub(crate) loss: Tensor,
    /// Whether there are gradients.
    pub(crate) has_gradients: bool,
    /// Parts that are reported by name, not weighted, those without a label too.
    pub(crate) losses: BTreeMap<String, LossValue>,
    /// Those of the tasks of a joint space of labels.
    pub(crate) of_images: Option<LossesOfImages>,
    /// The method's own term, whose gradient was added behind the balancer's; none without one.
    pub(crate) penalty: Option<Tensor>,
    /// What the student's outputs and features differ by from its teachers', where there are some.
    pub(crate) distillation: Option<Tensor>,
    /// What the balancer says of them, where there is one.
    pub(crate) balanced: Option<BalancedStep>,
}

/// The numbers of a step.
#[derive(Debug)]
pub(crate) struct StepNumbers {
    /// What was minimised.
    pub(crate) loss: f64,
    /// By name; none where the batch has no label of a task.
    pub(crate) losses: BTreeMap<String, Option<f64>>,
    /// The method's own term.
    pub(crate) penalty: Option<f64>,
    /// What teachers say.
    pub(crate) distillation: Option<f64>,
    /// The joint norm of the gradients before clipping.
    pub(crate) grad_norm: f64,
    has_gradients: bool,
}

impl Pass {
    /// A pass that minimised `loss` and has gradients.
    pub(crate) fn of(loss: Tensor) -> Self {
        let (losses, of_images, balanced) = (BTreeMap::new(), None, None);
        let (penalty, distillation) = (None, None);
        Self { loss, has_gradients: true, losses, of_images, penalty, distillation, balanced }
    }

    /// All numbers in one transfer, the gradients' `norms` by parts included, which become
    /// the joint one.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn numbers(&self, norms: &[Tensor]) -> Result<StepNumbers> {
        let own = self.losses.values().flat_map(|value| [&value.loss, &value.labelled]);
        let of_images = self.of_images.iter().map(|all| &all.losses);
        let terms = self.penalty.iter().chain(&self.distillation);
        let rest = std::iter::once(&self.loss).chain(terms).chain(of_images).chain(norms);
        let all: Vec<Tensor> = own.chain(rest).map(Tensor::shallow_clone).collect();
        let mut all = read(&all)?.into_iter();
        let mut next = || all.next().unwrap_or_default();
        let mut scalar = || next().first().copied().unwrap_or(f64::NAN);
        let mut losses: BTreeMap<String, Option<f64>> = BTreeMap::new();
        for name in self.losses.keys() {
            let (loss, labelled) = (scalar(), scalar());
            losses.insert(name.clone(), (labelled > 0.0).then_some(loss));
        }
        let (loss, penalty) = (scalar(), self.penalty.as_ref().map(|_| scalar()));
        let distillation = self.distillation.as_ref().map(|_| scalar());
        if let Some(of_images) = &self.of_images {
            losses.extend(of_images.by_task(&next()));
        }
        let grad_norm = all.flatten().fold(0.0, f64::hypot);
        let has_gradients = self.has_gradients;
        Ok(StepNumbers { loss, losses, penalty, distillation, grad_norm, has_gradients })
    }

    /// How much the gradients of the tasks disagree, in a step that measures it.
    pub(crate) fn conflict(&self) -> Option<&Conflict> {
        self.balanced.as_ref()?.conflict.as_ref()
    }
}

impl StepNumbers {
    /// Whether the step may be taken.
    pub(crate) fn are_finite(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }

    /// Whether the forward pass is finite, so that what is not can only be a gradient.
    pub(crate) fn losses_are_finite(&self) -> bool {
        let terms = self.penalty.iter().chain(&self.distillation);
        let mut finite = self.losses.values().flatten().chain(terms);
        let finite = finite.all(|loss| loss.is_finite());
        (self.loss.is_finite() || !self.has_gradients) && finite
    }
}
