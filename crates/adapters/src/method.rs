//! What a method says about itself.

use std::rc::Rc;

use polyptych_registry::DynPart;
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

    /// How many experts are to be found in every MLP of the backbone before training, and how.
    fn experts(&self) -> Option<(usize, &KMeansConfig)> {
        None
    }

    /// The parameters in `tensors`, a trained backbone under its own names, as PEFT's LoRA has
    /// them; nothing where PEFT has no such parameters.
    fn in_peft(&self, _tensors: &Tensors) -> Option<Result<PeftFactors>> {
        None
    }
}
