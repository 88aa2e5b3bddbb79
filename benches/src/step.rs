//! One training step: forward, losses, backward, clipping, AdamW.

use anyhow::Result;
use polyptych_data::TaskSpec;
use polyptych_engine::Model;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, clip_grad_norm, decay_groups};
use polyptych_tensor::{Tensor, manual_seed};

use crate::Subject;
use crate::subject::weight;

/// A model with a batch that it learns from.
pub struct Step {
    /// The model, its frozen weights not yet stored in the type of activations.
    pub model: Model,
    /// Its tasks.
    pub specs: Vec<TaskSpec>,
    /// A batch of images.
    pub images: Tensor,
    /// The labels of every task.
    pub targets: Vec<Tensor>,
    optimiser: AdamW,
    trainable: Vec<(String, Tensor)>,
}

impl Step {
    /// Makes everything from one seed.
    ///
    /// # Errors
    /// As [`Subject::model`].
    pub fn new(subject: &Subject) -> Result<Self> {
        manual_seed(0);
        let (model, specs) = (subject.stirred()?, subject.specs());
        let images = subject.images();
        let targets = specs.iter().map(|spec| subject.target(spec)).collect();
        let groups = decay_groups(model.store.trainable(), 0.05);
        let optimiser = AdamW::new(AdamWConfig::default(), groups);
        let trainable = model.store.trainable();
        Ok(Self { model, specs, images, targets, optimiser, trainable })
    }

    /// Outputs of all tasks and the sum of their weighted losses, whose gradients are computed.
    ///
    /// # Errors
    /// What the model reports.
    pub fn backward(&self) -> Result<(Vec<Tensor>, Tensor)> {
        let model = &self.model;
        model.store.zero_grad();
        let (mut outputs, mut total) = (Vec::new(), Vec::new());
        model.backward_by_head(&self.images, 0, |index, output| {
            let task = &model.tasks[index];
            let value = task.loss.forward(output, &self.targets[index])?;
            outputs.push(output.detach());
            let term = value.loss * weight(&task.spec);
            total.push(term.detach());
            Ok(term)
        })?;
        Ok((outputs, total.into_iter().sum()))
    }

    /// What learns from the gradients, by name.
    pub fn trainable(&self) -> &[(String, Tensor)] {
        &self.trainable
    }

    /// Clips the gradients that there are and learns from them.
    ///
    /// # Errors
    /// What the optimiser reports.
    pub fn learn(&mut self) -> Result<()> {
        let _norm = clip_grad_norm(&self.trainable, 5.0);
        Ok(self.optimiser.step(1e-6)?)
    }
}
