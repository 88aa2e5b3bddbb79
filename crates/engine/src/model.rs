//! A multi-task model: a trunk for all tasks or one for each, and one head per task.

pub(crate) mod activate;
mod build;
pub(crate) mod experts;
pub(crate) mod features;
pub(crate) mod header;
mod heads;
pub(crate) mod joint_labels;
mod merged;
mod method;
pub(crate) mod sequential_heads;
pub(crate) mod task;
mod tasks;
mod trainable;
pub(crate) mod trunk;
pub(crate) mod weights;

use polyptych_backbones::BackboneConfig;
use polyptych_distributed::Ranks;
use polyptych_tensor::{Kind, Store, Tensor, Tensors, manual_seed};

use crate::model::features::Features;
use crate::model::heads::Heads;
use crate::model::merged::merged;
use crate::model::sequential_heads::SequentialHeads;
use crate::model::trainable::Trainable;
use crate::model::trunk::Trunk;
use crate::{Result, Task};

/// A network for all tasks of a recipe.
#[derive(Debug)]
pub struct Model {
    /// Owner of all parameters: `backbone.*`, `heads.<task>.*` and, where every task has a copy of
    /// what trains in the backbone, `tasks.<task>.backbone.*`.
    pub store: Store,
    /// Tasks in the order of the task axis.
    pub tasks: Vec<Task>,
    trunks: Vec<Trunk>,
    backbone_config: BackboneConfig,
    heads: Heads,
    kind: Kind,
    learning: Vec<usize>,
    trainable: Trainable,
    /// The processes that train it, each on its part of every batch.
    pub(crate) ranks: Ranks,
}

impl Model {
    /// Positions of the tasks that learn: all of them, but for a recipe that extends a run.
    pub fn learning(&self) -> &[usize] {
        &self.learning
    }

    /// Raw outputs of every task: `[batch, outputs, height, width]` at the size of the image, or
    /// `[batch, outputs]` for tasks of whole images; float32.
    ///
    /// `images`: `[batch, 3, height, width]`.
    ///
    /// # Errors
    /// An image of another shape.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        self.forward_some(images, train, |_| true)
    }

    /// As [`Model::forward`], of the tasks alone that `wanted` accepts. Heads of the others do not
    /// run, nor do trunks that none of them reads.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_some(
        &self,
        images: &Tensor,
        train: bool,
        wanted: impl Fn(&Task) -> bool,
    ) -> Result<Vec<Tensor>> {
        let mut outputs = Vec::new();
        for trunk in &self.trunks {
            let asked: Vec<usize> =
                trunk.tasks.clone().filter(|&index| wanted(&self.tasks[index])).collect();
            outputs.extend(self.through(trunk, &asked, images, train)?);
        }
        Ok(outputs)
    }

    /// As [`Model::forward`] in training, of the tasks that learn, with LibTorch's generator
    /// seeded before every trunk, so that copies per task draw the dropout of a run of their task
    /// alone.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub(crate) fn forward_train(&self, images: &Tensor, seed: i64) -> Result<Vec<Tensor>> {
        let mut outputs = Vec::new();
        for trunk in &self.trunks {
            manual_seed(seed);
            outputs.extend(self.through(trunk, &self.learning_in(trunk), images, true)?);
        }
        Ok(outputs)
    }

    /// Goes through the model and back, in training: `loss` turns the output of every task that
    /// learns, by its position, into what is minimised. One head after the other, so that the
    /// activations of one head exist at a time, and those of one trunk where tasks have copies.
    ///
    /// The generator is seeded as in training: anew before every trunk.
    ///
    /// # Errors
    /// An image of another shape, or what `loss` reports.
    pub fn backward_by_head(
        &self,
        images: &Tensor,
        seed: i64,
        mut loss: impl FnMut(usize, &Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        for trunk in &self.trunks {
            let asked = self.learning_in(trunk);
            if asked.is_empty() {
                continue;
            }
            manual_seed(seed);
            let features = self.features(trunk, &asked, images, true)?;
            let (size, heads) = (features.size, SequentialHeads::new(features));
            for index in asked {
                let input = heads.input(index - trunk.tasks.start);
                let output = self.heads.output(index, &input, size, true)?;
                let minimised = loss(index, &output)?;
                if minimised.requires_grad() {
                    minimised.f_backward()?;
                }
            }
            heads.backward()?;
        }
        Ok(())
    }

    /// What heads read of the one trunk of a model without copies per task.
    ///
    /// # Errors
    /// An image of another shape.
    pub(crate) fn encode(&self, images: &Tensor, train: bool) -> Result<Features> {
        let trunk = self.common();
        self.features(trunk, &self.learning_in(trunk), images, train)
    }

    /// The outputs of the tasks that learn for `features` of [`Model::encode`].
    ///
    /// # Errors
    /// A head that fails.
    pub(crate) fn decode(&self, features: &Features, train: bool) -> Result<Vec<Tensor>> {
        let trunk = self.common();
        self.outputs(trunk, features, &self.learning_in(trunk), train)
    }

    /// The trunk that all tasks share. Recipes whose balancer cuts it from the heads have no other:
    /// they are refused beside copies per task.
    fn common(&self) -> &Trunk {
        &self.trunks[0]
    }

    fn learning_in(&self, trunk: &Trunk) -> Vec<usize> {
        trunk.tasks.clone().filter(|index| self.learning.contains(index)).collect()
    }

    fn through(
        &self,
        trunk: &Trunk,
        asked: &[usize],
        images: &Tensor,
        train: bool,
    ) -> Result<Vec<Tensor>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let features = self.features(trunk, asked, images, train)?;
        self.outputs(trunk, &features, asked, train)
    }

    fn features(
        &self,
        trunk: &Trunk,
        asked: &[usize],
        images: &Tensor,
        train: bool,
    ) -> Result<Features> {
        let image_level = asked.iter().any(|&index| !self.tasks[index].spec.is_dense());
        trunk.forward(&images.to_kind(self.kind), image_level, train)
    }

    fn outputs(
        &self,
        trunk: &Trunk,
        features: &Features,
        asked: &[usize],
        train: bool,
    ) -> Result<Vec<Tensor>> {
        let output = |&index: &usize| {
            self.heads.output(index, &trunk.input(features, index), features.size, train)
        };
        asked.iter().map(output).collect()
    }

    /// What readers of predictions and metrics expect of [`Model::forward`]'s outputs, see
    /// [`Task::activate`]; tasks of a union read the logits of all of its classes.
    pub fn activate(&self, raw: &[Tensor]) -> Vec<Tensor> {
        tasks::activate(&self.tasks, raw)
    }

    /// Refuses values of `origin`, a model of the same recipe, where its Swin was planned by
    /// rounding down and so cuts other windows.
    ///
    /// # Errors
    /// As [`BackboneConfig::refuse_rounded_down`].
    pub(crate) fn refuse_rounded_down(&self, origin: &str, rounded_up: bool) -> Result<()> {
        match rounded_up {
            true => Ok(()),
            false => Ok(self.backbone_config.refuse_rounded_down(origin)?),
        }
    }

    /// The backbone's configuration.
    pub fn backbone_config(&self) -> &BackboneConfig {
        &self.backbone_config
    }

    /// Stores weights that the method never trains in the type that the run computes in.
    pub fn store_frozen(&self) {
        self.trainable.store_frozen_as(&self.store, self.kind);
    }

    /// The backbones of the model: one, or one for every task.
    pub(crate) fn trunks(&self) -> &[Trunk] {
        &self.trunks
    }

    /// Parts of `params` that train apart, since they share nothing that trains: those of each
    /// task, or all together.
    pub(crate) fn parts(&self, params: &[(String, Tensor)]) -> Vec<Vec<(String, Tensor)>> {
        let part = |trunk: &Trunk| trunk.part_of(params, &self.tasks[trunk.tasks.clone()]);
        self.trunks.iter().map(part).collect()
    }

    /// All tensors with everything merged that the method can merge; heads are unchanged. Whatever
    /// the run computes in, factors are multiplied in float32 and the result is float32.
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub fn merged(&self) -> Result<Tensors> {
        merged(&self.store, &self.trunks)
    }
}
