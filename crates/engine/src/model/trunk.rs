//! The way from images to features: one backbone for all tasks, or one for each.
//!
//! With `backbone.per_task` every task has a copy of what its method trains in the backbone. The
//! copies are backbones of their own, with the single-task form of the method, that read the same
//! frozen numbers: those lie once, below `backbone`, and what trains lies below
//! `tasks.<task>.backbone`. A merged copy is a whole backbone, since factors of tasks end up in
//! the same weights.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use polyptych_adapters::Form;
use polyptych_backbones::{
    Backbone, BackboneConfig, Built, Error as BackboneError, Intermediates, Options,
};
use polyptych_data::TaskSpec;
use polyptych_heads::HeadInput;
use polyptych_tensor::{
    Activations, Kind, Owner, Parameter, PlainPass, Plan, Site, Store, Tensor, Tensors, no_grad,
};

use crate::model::features::Features;
use crate::model::heads;
use crate::model::readers::Readers;
use crate::model::task::Task;
use crate::{Error, Recipe, Result};

/// Scope of the backbone's parameters.
pub(crate) const BACKBONE: &str = "backbone";

/// One backbone with its plan.
#[derive(Debug)]
pub(crate) struct Trunk {
    /// Whose copy it is; none for the one that all tasks share.
    owner: Option<String>,
    /// The tasks that read it, as positions on the task axis of the model.
    pub(crate) tasks: Range<usize>,
    pub(crate) plan: Rc<dyn Plan>,
    pub(crate) backbone: Box<dyn Backbone>,
    /// What the backbone asked the plan for.
    sites: Vec<Site>,
    /// What building said of each of its parameters.
    parameters: BTreeMap<String, Parameter>,
    /// Where the store has each of the backbone's tensors.
    places: BTreeMap<String, String>,
    /// Its tasks of whole images.
    image_level: Vec<String>,
}

impl Trunk {
    /// Builds the trunk that `readers` read, in `store`.
    ///
    /// # Errors
    /// An adapter that does not fit the backbone.
    pub(crate) fn new(
        recipe: &Recipe,
        config: &BackboneConfig,
        readers: &Readers,
        form: Form,
        store: &Store,
    ) -> Result<Self> {
        let owner = recipe.backbone.per_task.then(|| readers.own()[0].name.clone());
        let names = owner.as_ref().map_or_else(|| recipe.task_names(), |task| vec![task.clone()]);
        let plan = recipe.adapter.plan(&names, form)?;
        let features_only = readers.own().iter().all(TaskSpec::is_dense);
        if !readers.own().iter().any(TaskSpec::is_dense) {
            plan.read_last_stage_alone();
        }
        let (pyramid, grad_checkpointing) =
            (recipe.backbone.pyramid, recipe.backbone.grad_checkpointing);
        let options = Options { features_only, pyramid, grad_checkpointing };
        let scope = match &owner {
            Some(task) => store.root().pp("tasks").pp(task).pp(BACKBONE),
            None => store.root().pp(BACKBONE),
        };
        let built = config.build(&scope, plan.as_ref(), options).map_err(of_adapter)?;
        let Built { backbone, sites, parameters } = built;
        let trains = |own: &Parameter| own.trains || recipe.backbone.unfreeze;
        let parameters =
            parameters.into_iter().map(|own| Parameter { trains: trains(&own), ..own });
        let parameters = parameters.map(|own| (own.name.clone(), own)).collect();
        let (tasks, image_level) = (readers.tasks.clone(), readers.image_level());
        let places = places(store, scope.path());
        let mut trunk =
            Self { owner, tasks, plan, backbone, sites, parameters, places, image_level };
        if trunk.owner.is_some() && form == Form::Adapted {
            trunk.share_frozen(store)?;
        }
        Ok(trunk)
    }

    /// Runs the backbone for all tasks; `image_level` asks for pooled features too.
    ///
    /// # Errors
    /// Images of another shape.
    pub(crate) fn forward(&self, x: &Tensor, image_level: bool, train: bool) -> Result<Features> {
        if let Some(pass) = self.plan.plain_pass().filter(|pass| pass.is_guided()) {
            pass.guide(&self.plain_features(pass, x)?);
        }
        let size = x.size();
        let Intermediates { features, levels } = self.backbone.forward_intermediates(x, train)?;
        let pooled = image_level.then(|| self.backbone.forward_head(&features, true));
        let (texts, size) = (BTreeMap::new(), [size[2], size[3]]);
        Ok(Features { levels, hidden: None, pooled, texts, size, streams: None })
    }

    /// As [`Trunk::forward`] outside of training, for the tasks `asked` alone, positions in the
    /// model: a method that can leaves the streams of the others out.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn forward_some(
        &self,
        x: &Tensor,
        asked: &[usize],
        image_level: bool,
    ) -> Result<Features> {
        let places: Vec<usize> = asked.iter().map(|index| index - self.tasks.start).collect();
        let all = places.len() == self.tasks.len();
        let apart = !all && self.plan.ask_for(Some(places.as_slice()));
        let features = self.forward(x, image_level, false);
        if apart {
            self.plan.ask_for(None);
        }
        Ok(Features { streams: apart.then_some(places), ..features? })
    }

    /// What the plain backbone makes of `x`: its last level, `[batch, dim]`, mean over places.
    ///
    /// # Errors
    /// Images of another shape.
    pub(crate) fn plain_features(&self, pass: &dyn PlainPass, x: &Tensor) -> Result<Tensor> {
        pass.set_plain(true);
        let found = no_grad(|| self.backbone.forward_intermediates(x, false));
        pass.set_plain(false);
        let level = found?.levels.pop().map(|level| level.task(0));
        let level = level.map(|level| level.to_kind(Kind::Float));
        let places = [1i64, 2];
        let mean = level.map(|level| level.mean_dim(places.as_slice(), false, None::<Kind>));
        Ok(mean.unwrap_or_else(|| x.new_empty([x.size()[0], 0], (Kind::Float, x.device()))))
    }

    /// The stage of the projection that the parameter `name` of the store stands at.
    pub(crate) fn stage_of(&self, name: &str) -> Option<usize> {
        let name = name.strip_prefix(&self.prefix())?.strip_prefix('.')?;
        let at =
            |site: &&Site| name.strip_prefix(&site.path).is_some_and(|rest| rest.starts_with('.'));
        self.sites.iter().filter(|site| site.is_projection()).find(at).map(|site| site.stage)
    }

    /// Names of its projections within the backbone, in its order.
    pub(crate) fn projections(&self) -> impl Iterator<Item = &str> {
        let projections = self.sites.iter().filter(|site| site.is_projection());
        projections.map(|site| site.path.as_str())
    }

    /// What the head of the model's task `index` reads of `features`.
    pub(crate) fn input(&self, features: &Features, index: usize) -> HeadInput {
        let place = features.stream(index - self.tasks.start);
        let stream = |a: &Activations| a.task(place as i64);
        let input = HeadInput {
            levels: features.levels.iter().map(stream).collect(),
            hidden: features.hidden.as_ref().map(stream),
            pooled: features.pooled.as_ref().map(stream),
            ..HeadInput::default()
        };
        match features.texts.get(&index) {
            Some(texts) => texts.beside(input),
            None => input,
        }
    }

    /// The scope of its parameters in the store.
    pub(crate) fn prefix(&self) -> String {
        match &self.owner {
            Some(task) => format!("tasks.{task}.{BACKBONE}"),
            None => BACKBONE.into(),
        }
    }

    /// Those of `params` that it has or that the heads of `tasks`, its own, have. As in a model of
    /// the task alone, backbone first: norms are sums, whose last bits depend on the order.
    pub(crate) fn part_of(
        &self,
        params: &[(String, Tensor)],
        tasks: &[Task],
    ) -> Vec<(String, Tensor)> {
        let backbone = format!("{}.", self.prefix());
        let heads: Vec<_> = tasks.iter().map(heads::prefix).collect();
        let reads = |name: &str| heads.iter().any(|head| name.starts_with(head));
        let own = params.iter().filter(|(name, _)| name.starts_with(&backbone));
        let own = own.chain(params.iter().filter(|(name, _)| reads(name)));
        // A text tower and what it meets the images by, beside the one trunk.
        let beside = |name: &str| {
            let elsewhere = name.starts_with(&backbone) || name.starts_with("heads.");
            self.owner.is_none() && !elsewhere
        };
        let own = own.chain(params.iter().filter(|(name, _)| beside(name)));
        own.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// The file that holds it once it is a plain backbone.
    pub(crate) fn file(&self) -> String {
        match &self.owner {
            Some(task) => format!("backbone.{task}.safetensors"),
            None => "backbone.safetensors".into(),
        }
    }

    /// Where the store has the backbone's tensor `name`.
    pub(crate) fn place(&self, name: &str) -> Option<&String> {
        self.places.get(name)
    }

    /// Names in the store of what does not train.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = &str> {
        let trains = |name: &str| {
            let parameter = self.parameters.get(name);
            parameter.is_some_and(|parameter| parameter.trains && self.is_read(parameter))
        };
        let frozen = self.places.iter().filter(move |(name, _)| !trains(name));
        frozen.map(|(_, place)| place.as_str())
    }

    /// The task that alone depends on what the store has at `place`.
    pub(crate) fn owner_of(&self, place: &str) -> Option<&str> {
        let name = place.strip_prefix(&self.prefix())?.strip_prefix('.')?;
        self.parameters.get(name)?.owner.as_ref().map(|owner| owner.task.as_str())
    }

    /// Whether a head reads it: tasks of whole images read the features behind the last stage, and
    /// of none before.
    fn is_read(&self, parameter: &Parameter) -> bool {
        let last = self.backbone.feature_info().len() - 1;
        let read = |owner: &Owner| {
            owner.stage.is_none_or(|stage| stage == last) || !self.image_level.contains(&owner.task)
        };
        parameter.owner.as_ref().is_none_or(read)
    }

    /// The backbone's tensors in `stored`, under its own names.
    pub(crate) fn own(&self, stored: &Tensors) -> Tensors {
        let found = self.places.iter().filter_map(|(name, place)| {
            stored.get(place).map(|tensor| (name.clone(), tensor.shallow_clone()))
        });
        found.collect()
    }

    /// The backbone's tensors, under its own names, with everything merged that can be.
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub(crate) fn merged(&self, stored: &Tensors) -> Result<Tensors> {
        Ok(self.plan.merge(&self.sites, &self.own(stored))?)
    }

    /// What has to be kept of it beside the frozen backbone; see [`Plan::delta`].
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub(crate) fn delta(&self, stored: &Tensors) -> Result<Option<Tensors>> {
        Ok(self.plan.delta(&self.sites, &self.own(stored))?)
    }

    /// Leaves its frozen parameters where those of all tasks lie; the first task's values stay.
    fn share_frozen(&mut self, store: &Store) -> Result<()> {
        for parameter in self.parameters.values().filter(|parameter| !parameter.trains) {
            let Some(place) = self.places.get_mut(&parameter.name) else { continue };
            let common = format!("{BACKBONE}.{}", parameter.name);
            store.tie(place, &common)?;
            *place = common;
        }
        Ok(())
    }
}

/// A plan that does not fit is a mistake of the recipe's `adapter`.
fn of_adapter(cause: BackboneError) -> Error {
    match cause {
        BackboneError::Plan(cause) => polyptych_adapters::Error::from(cause).into(),
        other => other.into(),
    }
}

/// Names in `store` of the tensors below `scope`, by the names that they have there.
pub(crate) fn places(store: &Store, scope: &str) -> BTreeMap<String, String> {
    let mut places = BTreeMap::new();
    store.for_each(|place, _| {
        let name = place.strip_prefix(scope).and_then(|name| name.strip_prefix('.'));
        places.extend(name.map(|name| (name.to_owned(), place.to_owned())));
    });
    places
}
