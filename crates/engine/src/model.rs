//! A multi-task model: a trunk for all tasks or one for each, and one head per task.

pub(crate) mod activate;
mod backward;
mod build;
pub(crate) mod experts;
pub(crate) mod features;
pub(crate) mod fusion;
mod grown;
pub(crate) mod header;
pub(crate) mod heads;
pub(crate) mod inputs;
pub(crate) mod int8;
pub(crate) mod joint_labels;
pub(crate) mod language;
mod later;
pub(crate) mod load_summary;
mod merged;
mod method;
mod packed;
pub(crate) mod plain_pass;
pub(crate) mod readers;
pub(crate) mod sequential_heads;
mod shared_gradients;
pub(crate) mod tapped;
pub(crate) mod task;
mod tasks;
pub(crate) mod text;
pub(crate) mod text_weights;
mod trainable;
pub(crate) mod trunk;
pub(crate) mod weights;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use polyptych_backbones::BackboneConfig;
use polyptych_data::{Batch, TaskSpec};
use polyptych_distributed::{GradientBuckets, Ranks};
use polyptych_tensor::{Kind, Store, Tensor, Tensors, manual_seed};

use crate::model::features::Features;
use crate::model::fusion::FusedTowers;
use crate::model::heads::Heads;
use crate::model::inputs::{Inputs, Texts};
use crate::model::language::LanguageLevels;
use crate::model::merged::merged;
use crate::model::text::TextTrunk;
use crate::model::trainable::Trainable;
use crate::model::trunk::Trunk;
use crate::{Result, Task};

/// A network for all tasks of a recipe.
#[derive(Debug)]
pub struct Model {
    /// Owner of all parameters: `backbone.*`, `text.*`, `heads.<task>.*`, `decoder.*`, which heads
    /// share, and, where every task has a copy of what trains in the backbone,
    /// `tasks.<task>.backbone.*`.
    pub store: Store,
    /// Tasks in the order of the task axis.
    pub tasks: Vec<Task>,
    trunks: Vec<Trunk>,
    text: Option<TextTrunk>,
    fusion: Option<FusedTowers>,
    language: Option<LanguageLevels>,
    backbone_config: BackboneConfig,
    heads: Heads,
    kind: Kind,
    learning: Vec<usize>,
    trainable: Trainable,
    /// The processes that train it, each on its part of every batch.
    pub(crate) ranks: Ranks,
    gradient_buckets: OnceCell<GradientBuckets>,
}

impl Model {
    /// Positions of the tasks that learn: all of them, but for a recipe that extends a run.
    pub fn learning(&self) -> &[usize] {
        &self.learning
    }

    /// Raw outputs of every task: `[batch, outputs, height, width]` at the size of the image, or
    /// `[batch, outputs]` for tasks of whole images; float32.
    ///
    /// Of images alone, `[batch, 3, height, width]`, tasks of retrieval give the embeddings of
    /// images; with [`Model::texts`] those of images and texts.
    ///
    /// # Errors
    /// An image of another shape.
    pub fn forward<'a>(&self, inputs: impl Into<Inputs<'a>>, train: bool) -> Result<Vec<Tensor>> {
        self.forward_some(inputs, train, |_| true)
    }

    /// The texts of `batch`; none where the model reads none.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn texts(&self, batch: &Batch) -> Result<Option<Texts>> {
        let specs: Vec<&TaskSpec> = self.tasks.iter().map(|task| &task.spec).collect();
        let device = self.store.device();
        self.text.as_ref().map(|text| text.texts(&specs, batch, device)).transpose()
    }

    /// As [`Model::forward`], of the tasks alone that `wanted` accepts. Heads of the others do not
    /// run, nor do trunks that none of them reads; outside of training their streams do not run
    /// either where the method can leave them out ([`Plan::ask_for`](polyptych_tensor::Plan::ask_for)).
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_some<'a>(
        &self,
        inputs: impl Into<Inputs<'a>>,
        train: bool,
        wanted: impl Fn(&Task) -> bool,
    ) -> Result<Vec<Tensor>> {
        let inputs = inputs.into();
        let mut outputs = Vec::new();
        for trunk in &self.trunks {
            let asked: Vec<usize> =
                trunk.tasks.clone().filter(|&index| wanted(&self.tasks[index])).collect();
            outputs.extend(self.through(trunk, &asked, inputs, train)?);
        }
        Ok(outputs)
    }

    /// As [`Model::forward`] in training, of the tasks that learn, at the sizes of their losses,
    /// with LibTorch's generator seeded before every trunk, so that copies per task draw the
    /// dropout of a run of their task alone.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub(crate) fn forward_train(&self, images: &Tensor, seed: i64) -> Result<Vec<Tensor>> {
        let mut outputs = Vec::new();
        for trunk in &self.trunks {
            manual_seed(seed);
            let asked = self.learning_in(trunk);
            if !asked.is_empty() {
                let features = self.features(trunk, &asked, images.into(), true)?;
                outputs.extend(self.outputs_of_losses(trunk, &features, &asked)?);
            }
        }
        Ok(outputs)
    }

    /// What heads read of the one trunk of a model without copies per task.
    ///
    /// # Errors
    /// An image of another shape.
    pub(crate) fn encode(&self, images: &Tensor, train: bool) -> Result<Features> {
        let trunk = self.common();
        self.features(trunk, &self.learning_in(trunk), images.into(), train)
    }

    /// The outputs of the tasks that learn for `features` of [`Model::encode`], in training, at the
    /// sizes of their losses.
    ///
    /// # Errors
    /// A head that fails.
    pub(crate) fn decode(&self, features: &Features) -> Result<Vec<Tensor>> {
        let trunk = self.common();
        self.outputs_of_losses(trunk, features, &self.learning_in(trunk))
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
        inputs: Inputs,
        train: bool,
    ) -> Result<Vec<Tensor>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let features = self.features(trunk, asked, inputs, train)?;
        self.outputs(trunk, &features, asked, train)
    }

    fn features(
        &self,
        trunk: &Trunk,
        asked: &[usize],
        inputs: Inputs,
        train: bool,
    ) -> Result<Features> {
        let image_level = asked.iter().any(|&index| !self.tasks[index].spec.is_dense());
        let images = inputs.images.to_kind(self.kind);
        let inputs = Inputs { images: &images, ..inputs };
        // Texts are read beside the streams of all tasks.
        let features = match train || self.text.is_some() {
            true => trunk.forward(&images, image_level, train)?,
            false => trunk.forward_some(&images, asked, image_level)?,
        };
        let texts = match &self.text {
            Some(text) => text.forward(inputs, asked, (trunk, self.fusion.as_ref()), train)?,
            None => BTreeMap::new(),
        };
        let levels = match (&self.language, &self.text) {
            (Some(language), Some(text)) => {
                language.forward(text.tower(), &features.levels, self.kind, train)?
            }
            _ => features.levels,
        };
        let hidden = self.heads.hidden(asked, &levels)?;
        Ok(Features { texts, levels, hidden, ..features })
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

    fn outputs_of_losses(
        &self,
        trunk: &Trunk,
        features: &Features,
        asked: &[usize],
    ) -> Result<Vec<Tensor>> {
        let output = |&index: &usize| {
            let size = self.tasks[index].loss_size(features.size);
            self.heads.output(index, &trunk.input(features, index), size, true)
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
        merged(&self.store, &self.trunks, self.text.as_ref())
    }
}
