//! What a method says about itself.

use std::rc::Rc;

use polyptych_registry::{DynPart, Value};
use polyptych_tensor::{Plan, Tensors};

use crate::error::Result;
use crate::experts::kmeans::KMeansConfig;
use crate::peft::factors::PeftFactors;

/// Whether the model trains, or has been merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it trains: the method's parameters stand beside the backbone's.
    Adapted,
    /// After merging: what could be merged is part of the backbone's own weights.
    Merged,
}

/// Gives the tensors of a trained, unmerged model what the named task needs; all others stay.
pub type AddTask = fn(&Tensors, &str) -> Result<Tensors>;

/// What a method takes of finished runs.
pub struct Sources {
    /// How many runs.
    pub count: usize,
    /// What `adapter` of their recipes has, as far as it matters.
    pub adapter: serde_json::Value,
    /// Turns the method's parameters of the run at a position, under the backbone's names, into those
    /// of a model of the named tasks.
    pub take: Take,
}

/// See [`Sources::take`].
pub type Take = Box<dyn Fn(&Tensors, usize, &[String]) -> Result<Tensors>>;

/// Tasks whose image tower and text tower meet behind every block, and what they meet by.
#[derive(Debug, Clone, PartialEq)]
pub struct Fusion {
    /// The tasks.
    pub tasks: Vec<String>,
    /// Width of the bottleneck behind the cross-attention.
    pub bottleneck: i64,
    /// First value of the factor on it.
    pub scale: f64,
    /// Heads of the cross-attention.
    pub num_heads: i64,
}

/// How the levels of a pyramid read the names of classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Language {
    /// Prompts that each task learns in front of the names of its classes.
    pub num_tokens: i64,
    /// Heads of the attention to classes.
    pub num_heads: i64,
    /// Temperature of the scores of classes.
    pub temperature: f64,
}

/// A merged model without what its constants leave unused.
#[derive(Debug)]
pub struct Pruned {
    /// The method's settings, with which its merged form has exactly these tensors.
    pub settings: Value,
    /// The backbone's tensors.
    pub tensors: Tensors,
}

/// What is measured before tasks are grouped.
#[derive(Debug)]
pub struct Grouping {
    /// The method's settings with all tasks together in every stage.
    pub together: Value,
    /// Batches.
    pub batches: usize,
    /// Stages of the backbone that the groups are for.
    pub stages: usize,
}

/// A way to adapt a backbone to tasks: the settings of one entry of a recipe.
///
/// [`Part::example`](polyptych_registry::Part::example) must fit small models, whose streams are
/// 12 numbers wide: the tests of all methods build it.
pub trait Method: DynPart {
    /// Makes the plan for `tasks`, whose order is that of the task axis.
    ///
    /// # Errors
    /// Settings that are out of range.
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>>;

    /// Patterns of the names of the parameters that the method puts beside a backbone's own, the
    /// same for all settings. No name of timm's may match.
    fn parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Settings that list tasks by their names, beside those that end with `_per_task`: a model of some
    /// of the tasks has what remains of these lists.
    fn task_lists(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether anything trains in the backbone, which tasks may share.
    fn trains_backbone(&self) -> bool {
        true
    }

    /// Why no model has a copy of the method for every task; nothing where one may.
    fn not_per_task(&self) -> Option<&'static str> {
        None
    }

    /// How tasks join a trained model while all that others depend on stays as it is.
    ///
    /// # Errors
    /// The reason why they cannot.
    fn new_tasks(&self) -> std::result::Result<AddTask, &'static str> {
        Err("which could learn a task only by changing what others depend on")
    }

    /// What the method takes of finished runs, which `compose.runs` of a recipe names; nothing where it
    /// takes none.
    fn sources(&self) -> Option<Sources> {
        None
    }

    /// What is left of `tensors`, a merged backbone under its own names, when everything goes that no
    /// output depends on; nothing where merged models have no such parts.
    fn pruned(&self, _tasks: &[String], _tensors: &Tensors) -> Option<Result<Pruned>> {
        None
    }

    /// What has to be measured before the model of `tasks` can be built; nothing where its groups are
    /// known.
    fn grouping(&self, _tasks: &[String]) -> Option<Grouping> {
        None
    }

    /// The settings with groups of `tasks` by their similarities, one matrix for every stage.
    fn grouped(&self, _tasks: &[String], _similarities: &[Vec<Vec<f64>>]) -> Value {
        self.to_value()
    }

    /// How many experts are to be found in every MLP of the backbone before training, and how.
    fn experts(&self) -> Option<(usize, &KMeansConfig)> {
        None
    }

    /// How two towers meet, for tasks that ask in images and texts; nothing where they do not.
    fn fusion(&self) -> Option<Fusion> {
        None
    }

    /// How levels read the names of classes by a text tower; nothing where they do not.
    fn language(&self) -> Option<Language> {
        None
    }

    /// The parameters in `tensors`, a trained backbone under its own names, as PEFT's LoRA has
    /// them; nothing where PEFT has no such parameters.
    fn in_peft(&self, _tensors: &Tensors) -> Option<Result<PeftFactors>> {
        None
    }
}
