//! A number for all stages of a backbone, or one for each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A field of the published configuration, which lists one number per stage; a single number stands
/// for all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PerStage<T> {
    /// The same in all stages.
    All(T),
    /// One number per stage, the first stage first.
    Each(Vec<T>),
}

impl<T: Copy> PerStage<T> {
    /// All numbers, in the order of stages.
    pub fn values(&self) -> &[T] {
        match self {
            PerStage::All(value) => std::slice::from_ref(value),
            PerStage::Each(values) => values,
        }
    }

    /// The number of stage `stage`; nothing where the list ends before.
    pub fn of(&self, stage: usize) -> Option<T> {
        match self {
            PerStage::All(value) => Some(*value),
            PerStage::Each(values) => values.get(stage).copied(),
        }
    }

    /// How many stages are listed; nothing where one number stands for all.
    pub(super) fn stages(&self) -> Option<usize> {
        match self {
            PerStage::All(_) => None,
            PerStage::Each(values) => Some(values.len()),
        }
    }
}

impl<T> From<T> for PerStage<T> {
    fn from(value: T) -> Self {
        PerStage::All(value)
    }
}
