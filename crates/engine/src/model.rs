//! A multi-task model: a trunk for all tasks or one for each, and one head per task.

pub(crate) mod activate;
pub(crate) mod experts;
pub(crate) mod features;
pub(crate) mod header;
pub(crate) mod joint_labels;
pub(crate) mod sequential_heads;
pub(crate) mod task;
pub(crate) mod trunk;
pub(crate) mod weights;

use std::collections::BTreeSet;

use polyptych_adapters::Form;
use polyptych_backbones::{Backbone, BackboneConfig};
use polyptych_data::TaskSpec;
use polyptych_heads::{Head, HeadInput, upsample};
use polyptych_tensor::{Device, Kind, Observed, Store, Tensor, Tensors, manual_seed};

use crate::model::features::Features;
use crate::model::sequential_heads::SequentialHeads;
use crate::model::trunk::{Trunk, shares};
use crate::{Recipe, Result, Task, UnionRange};

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
    heads: Vec<Box<dyn Head>>,
    kind: Kind,
    learning: Vec<usize>,
}

impl Model {
    /// Builds the model of `recipe` with random values and the recipe's trainable set.
    ///
    /// Copies per task begin with the values that they would have in a model of their task alone.
    ///
    /// # Errors
    /// A backbone that does not exist, an adapter or head that does not fit.
    pub fn new(recipe: &Recipe, specs: &[TaskSpec], form: Form, device: Device) -> Result<Self> {
        let store = Store::new(device);
        let size = recipe.data.img_size.map(|extent| extent as i64);
        let backbone_config = BackboneConfig::from_name(&recipe.backbone.name)?
            .with_img_size(size)
            .with_num_classes(0)
            .with_drop_path_rate(recipe.backbone.drop_path_rate);
        let tasks = tasks(recipe, specs)?;
        let (mut trunks, mut heads) = (Vec::new(), Vec::new());
        for share in shares(recipe, tasks.len()) {
            manual_seed(recipe.seed as i64);
            let place = (specs, share.clone());
            let trunk = Trunk::new(recipe, &backbone_config, place, form, &store)?;
            for task in &tasks[share] {
                heads.push(head(&store, trunk.backbone.as_ref(), task)?);
            }
            trunks.push(trunk);
        }
        let kind = recipe.precision.kind();
        let learns = |&index: &usize| recipe.learns(&specs[index].name);
        let learning = (0..specs.len()).filter(learns).collect();
        let model = Self { store, tasks, trunks, backbone_config, heads, kind, learning };
        model.choose_trainable();
        Ok(model)
    }

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
                let output = self.head_output(&input, size, index, true)?;
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
        asked.iter().map(|&index| self.output(trunk, features, index, train)).collect()
    }

    fn output(
        &self,
        trunk: &Trunk,
        features: &Features,
        index: usize,
        train: bool,
    ) -> Result<Tensor> {
        self.head_output(&trunk.input(features, index), features.size, index, train)
    }

    fn head_output(
        &self,
        input: &HeadInput,
        size: [i64; 2],
        index: usize,
        train: bool,
    ) -> Result<Tensor> {
        let raw = self.heads[index].forward(input, train)?;
        Ok(match self.tasks[index].spec.is_dense() {
            true => upsample(&raw, size)?,
            false => raw,
        })
    }

    /// What readers of predictions and metrics expect of [`Model::forward`]'s outputs, see
    /// [`Task::activate`]; tasks of a union read the logits of all of its classes.
    pub fn activate(&self, raw: &[Tensor]) -> Vec<Tensor> {
        let is_joined = |index: &usize| self.tasks[*index].union.is_some();
        let joined: Vec<usize> = (0..self.tasks.len()).filter(is_joined).collect();
        let union = (!joined.is_empty()).then(|| joint_labels::logits(raw, &joined));
        let one = |(task, raw): (&Task, &Tensor)| match (&task.union, &union) {
            (Some(_), Some(logits)) => task.activate(logits),
            _ => task.activate(raw),
        };
        self.tasks.iter().zip(raw).map(one).collect()
    }

    /// Tells the method where the run stands: `step` of `steps` are done.
    pub fn set_progress(&self, step: u64, steps: u64) {
        self.trunks.iter().for_each(|trunk| trunk.plan.set_progress(step, steps));
    }

    /// Lets the method read the gradients of a step before the optimiser moves anything.
    pub(crate) fn before_step(&self) {
        self.trunks.iter().for_each(|trunk| trunk.plan.before_step());
    }

    /// The method's own term of the loss, of all copies; see [`Plan::penalty`].
    ///
    /// [`Plan::penalty`]: polyptych_tensor::Plan::penalty
    pub(crate) fn penalty(&self) -> Option<Tensor> {
        let terms = self.trunks.iter().filter_map(|trunk| trunk.plan.penalty());
        terms.reduce(|sum, term| sum + term)
    }

    /// Why the model cannot be merged as it is now; nothing where it can.
    pub fn unmergeable(&self) -> Option<String> {
        self.trunks.iter().find_map(|trunk| trunk.plan.unmergeable())
    }

    /// What the method noted of every image in the last forward pass outside of training.
    pub(crate) fn observed(&self) -> Observed {
        self.trunks.iter().flat_map(|trunk| trunk.plan.observed()).collect()
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
        // What an extended run has learnt stays as exact as it was learnt.
        let frozen = self.frozen();
        self.store.set_trainable(|name| !frozen.contains(name));
        self.store.store_frozen_as(self.kind);
        self.choose_trainable();
    }

    /// The backbones of the model: one, or one for every task.
    pub(crate) fn trunks(&self) -> &[Trunk] {
        &self.trunks
    }

    /// Parts of `params` that are learnt apart, since they share nothing that trains: those of
    /// each task, or all together.
    pub(crate) fn parts(&self, params: &[(String, Tensor)]) -> Vec<Vec<(String, Tensor)>> {
        let part = |trunk: &Trunk| {
            let backbone = format!("{}.", trunk.prefix());
            let heads: Vec<_> = trunk.tasks.clone().map(|index| self.head_prefix(index)).collect();
            let reads = |name: &str| heads.iter().any(|head| name.starts_with(head));
            // As in a model of the task alone, backbone first: norms are sums, whose last bits
            // depend on the order.
            let own = params.iter().filter(|(name, _)| name.starts_with(&backbone));
            let own = own.chain(params.iter().filter(|(name, _)| reads(name)));
            own.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
        };
        self.trunks.iter().map(part).collect()
    }

    /// All tensors with everything merged that the method can merge; heads are unchanged. Whatever
    /// the run computes in, factors are multiplied in float32 and the result is float32.
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub fn merged(&self) -> Result<Tensors> {
        let float = |(name, t): (String, Tensor)| (name, in_float32(&t));
        let stored: Tensors = self.store.tensors().into_iter().map(float).collect();
        let heads = stored.iter().filter(|(name, _)| name.starts_with("heads."));
        let mut all: Tensors = heads.map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
        for trunk in &self.trunks {
            let (prefix, merged) = (trunk.prefix(), trunk.merged(&stored)?);
            all.extend(merged.into_iter().map(|(name, t)| (format!("{prefix}.{name}"), t)));
        }
        Ok(all)
    }

    fn head_prefix(&self, index: usize) -> String {
        format!("heads.{}.", self.tasks[index].spec.name)
    }

    fn choose_trainable(&self) {
        let (frozen, all) = (self.frozen(), self.learning.len() == self.tasks.len());
        self.store.set_trainable(|name| {
            let owned = || self.owner(name).is_some_and(|task| self.learning.contains(&task));
            !frozen.contains(name) && (all || owned())
        });
    }

    /// What the method never trains.
    fn frozen(&self) -> BTreeSet<&str> {
        self.trunks.iter().flat_map(Trunk::frozen).collect()
    }

    /// Position of the task that alone depends on the parameter `name`.
    fn owner(&self, name: &str) -> Option<usize> {
        let of_head = || name.strip_prefix("heads.")?.split('.').next();
        let task = self.trunks.iter().find_map(|trunk| trunk.owner_of(name)).or_else(of_head)?;
        self.tasks.iter().position(|known| known.spec.name == task)
    }
}

/// Numbers of a shorter type than float32 in float32.
fn in_float32(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor.shallow_clone(),
    }
}

fn tasks(recipe: &Recipe, specs: &[TaskSpec]) -> Result<Vec<Task>> {
    let join = |spec: &TaskSpec| Task::new(spec.clone(), recipe.tasks[&spec.name].clone());
    let mut tasks = specs.iter().map(join).collect::<Result<Vec<_>>>()?;
    if let Some(ranges) = joint_labels::ranges(recipe, specs)? {
        let num_classes = ranges.num_classes();
        for (index, (_, own)) in joint_labels::joined(&ranges, specs).into_iter().zip(ranges.iter())
        {
            tasks[index].union = Some(UnionRange { own, num_classes });
        }
    }
    Ok(tasks)
}

fn head(store: &Store, backbone: &dyn Backbone, task: &Task) -> Result<Box<dyn Head>> {
    let chans: Vec<i64> = backbone.feature_info().iter().map(|info| info.num_chs).collect();
    let scope = store.root().pp("heads").pp(&task.spec.name);
    let outputs = task.spec.num_outputs() as i64;
    Ok(task.recipe.head.init(&scope, &chans, backbone.num_features(), outputs)?)
}
