//! A multi-task model: one backbone, one plan, one head per task.

use std::rc::Rc;

use polyptych_adapters::Form;
use polyptych_backbones::{Backbone, BackboneConfig, Options};
use polyptych_data::TaskSpec;
use polyptych_heads::{Head, HeadInput, upsample};
use polyptych_tensor::{Activations, Device, Observed, Plan, Store, Tensor, Tensors};

use crate::features::Features;
use crate::{Recipe, Result, Task, UnionRange, union};

/// Scope of the backbone's parameters.
pub(crate) const BACKBONE: &str = "backbone";

/// A network for all tasks of a recipe.
#[derive(Debug)]
pub struct Model {
    /// Owner of all parameters: `backbone.*` and `heads.<task>.*`.
    pub store: Store,
    /// Tasks in the order of the task axis.
    pub tasks: Vec<Task>,
    plan: Rc<dyn Plan>,
    backbone: Box<dyn Backbone>,
    backbone_config: BackboneConfig,
    heads: Vec<Box<dyn Head>>,
    kind: polyptych_tensor::Kind,
}

impl Model {
    /// Builds the model of `recipe` with random values and the recipe's trainable set.
    ///
    /// # Errors
    /// A backbone that does not exist, an adapter or head that does not fit.
    pub fn new(recipe: &Recipe, specs: &[TaskSpec], form: Form, device: Device) -> Result<Self> {
        polyptych_tensor::manual_seed(recipe.seed as i64);
        let store = Store::new(device);
        let plan = recipe.adapter.plan(&recipe.task_names(), form)?;
        let size = recipe.data.img_size.map(|extent| extent as i64);
        let backbone_config = BackboneConfig::from_name(&recipe.backbone.name)?
            .with_img_size(size)
            .with_num_classes(0)
            .with_drop_path_rate(recipe.backbone.drop_path_rate);
        let options = Options {
            features_only: specs.iter().all(TaskSpec::is_dense),
            pyramid: recipe.backbone.pyramid,
        };
        let scope = store.root().pp(BACKBONE);
        let backbone = backbone_config.init(&scope, plan.as_ref(), options)?;
        plan.finish()?;
        let join = |spec: &TaskSpec| Task::new(spec.clone(), recipe.tasks[&spec.name].clone());
        let mut tasks = specs.iter().map(join).collect::<Result<Vec<_>>>()?;
        if let Some(ranges) = union::ranges(recipe, specs)? {
            let num_classes = ranges.num_classes();
            for (index, (_, own)) in union::joined(&ranges, specs).into_iter().zip(ranges.iter()) {
                tasks[index].union = Some(UnionRange { own, num_classes });
            }
        }
        let heads = tasks.iter().map(|task| head(&store, backbone.as_ref(), task));
        let heads = heads.collect::<Result<_>>()?;
        let kind = recipe.precision.kind();
        let model = Self { store, tasks, plan, backbone, backbone_config, heads, kind };
        model.choose_trainable();
        Ok(model)
    }

    /// Raw outputs of every task: `[batch, outputs, height, width]` at the size of the image, or
    /// `[batch, outputs]` for tasks of whole images; float32.
    ///
    /// `images`: `[batch, 3, height, width]`.
    ///
    /// # Errors
    /// An image of another shape.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        self.decode(&self.encode(images, train)?, train)
    }

    /// What heads read of the trunk.
    ///
    /// # Errors
    /// An image of another shape.
    pub(crate) fn encode(&self, images: &Tensor, train: bool) -> Result<Features> {
        let size = images.size();
        let x = images.to_kind(self.kind);
        let intermediates = self.backbone.forward_intermediates(&x, train)?;
        let image_level = self.tasks.iter().any(|task| !task.spec.is_dense());
        let pooled = image_level.then(|| self.backbone.forward_head(&intermediates.features, true));
        Ok(Features { levels: intermediates.levels, pooled, size: [size[2], size[3]] })
    }

    /// The outputs of [`Model::forward`] for `features`.
    ///
    /// # Errors
    /// A head that fails.
    pub(crate) fn decode(&self, features: &Features, train: bool) -> Result<Vec<Tensor>> {
        let one = |(index, task): (usize, &Task)| -> Result<Tensor> {
            let stream = |a: &Activations| a.task(index as i64);
            let input = HeadInput {
                levels: features.levels.iter().map(stream).collect(),
                pooled: features.pooled.as_ref().map(stream),
            };
            let raw = self.heads[index].forward(&input, train)?;
            Ok(match task.spec.is_dense() {
                true => upsample(&raw, features.size)?,
                false => raw,
            })
        };
        self.tasks.iter().enumerate().map(one).collect()
    }

    /// What readers of predictions and metrics expect of [`Model::forward`]'s outputs, see
    /// [`Task::activate`]; tasks of a union read the logits of all of its classes.
    pub fn activate(&self, raw: &[Tensor]) -> Vec<Tensor> {
        let is_joined = |index: &usize| self.tasks[*index].union.is_some();
        let joined: Vec<usize> = (0..self.tasks.len()).filter(is_joined).collect();
        let union = (!joined.is_empty()).then(|| union::logits(raw, &joined));
        let one = |(task, raw): (&Task, &Tensor)| match (&task.union, &union) {
            (Some(_), Some(logits)) => task.activate(logits),
            _ => task.activate(raw),
        };
        self.tasks.iter().zip(raw).map(one).collect()
    }

    /// Tells the method where the run stands: `step` of `steps` are done.
    pub fn set_progress(&self, step: u64, steps: u64) {
        self.plan.set_progress(step, steps);
    }

    /// Why the model cannot be folded as it is now; nothing where it can.
    pub fn unfoldable(&self) -> Option<String> {
        self.plan.unfoldable()
    }

    /// What the method noted of every image in the last forward pass outside of training.
    pub(crate) fn observed(&self) -> Observed {
        self.plan.observed()
    }

    /// The backbone's configuration.
    pub fn backbone_config(&self) -> &BackboneConfig {
        &self.backbone_config
    }

    /// Stores frozen weights in the type that the run computes in.
    pub fn store_frozen(&self) {
        self.store.store_frozen_as(self.kind);
    }

    /// All tensors with everything folded that the method can fold; heads are unchanged.
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub fn folded(&self) -> Result<Tensors> {
        let prefix = format!("{BACKBONE}.");
        let (backbone, mut all): (Tensors, Tensors) =
            self.store.tensors().into_iter().partition(|(name, _)| name.starts_with(&prefix));
        let short = backbone.into_iter().map(|(name, t)| (name[prefix.len()..].to_owned(), t));
        let folded = self.plan.fold(&short.collect())?;
        all.extend(folded.into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)));
        Ok(all)
    }

    fn choose_trainable(&self) {
        let prefix = format!("{BACKBONE}.");
        self.store.set_trainable(|name| match name.strip_prefix(&prefix) {
            Some(name) => self.plan.trains(name),
            None => true,
        });
    }
}

fn head(store: &Store, backbone: &dyn Backbone, task: &Task) -> Result<Box<dyn Head>> {
    let chans: Vec<i64> = backbone.feature_info().iter().map(|info| info.num_chs).collect();
    let scope = store.root().pp("heads").pp(&task.spec.name);
    let outputs = task.spec.num_outputs() as i64;
    Ok(task.recipe.head.init(&scope, &chans, backbone.num_features(), outputs)?)
}
