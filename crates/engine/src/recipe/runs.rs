//! What a recipe has of other runs, earlier ones and its own parts: stages, sources, teachers, the run
//! that it extends, and samples that were seen before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Folder of all stages but the last in that of a run.
pub(crate) const STAGES: &str = "stages";
/// Folder of the merged model in that of a stage.
pub(crate) const MERGED: &str = "merged";
/// Folder of the pruned model in that of a run.
pub(crate) const PRUNED: &str = "pruned";

/// A part of a run: the recipe but for some fields, and what it begins with.
///
/// Wherever a recipe names a folder, `stage:NAME` is that of an earlier stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageRecipe {
    /// Its name, of letters, digits, `-` and `_`.
    pub name: String,
    /// What differs from the recipe, as behind `--set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// The tasks of the recipe that it has; all of them if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// Initial values: `previous` (of the stage before), `fresh` (of `backbone.weights`), the name of
    /// an earlier stage, or the folder of a run. `previous` has no effect in the first stage, and
    /// where `set` names weights or `extend` a run.
    #[serde(default = "previous", skip_serializing_if = "is_previous")]
    pub from: String,
    /// What becomes of it once the run is finished.
    #[serde(default, skip_serializing_if = "StageResult::is_kept")]
    #[schemars(extend("default" = "keep"))]
    pub result: StageResult,
}

/// What becomes of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageResult {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is merged once it is trained, and later stages begin with the merged model.
    Merge,
    /// It is merged and pruned once it is trained, into the folder `pruned` of the run; the last stage
    /// alone, since a pruned model trains no further.
    Prune,
    /// Its checkpoints are removed once the last stage is trained; what was measured stays.
    Drop,
}

impl StageResult {
    fn is_kept(&self) -> bool {
        *self == Self::Keep
    }
}

fn previous() -> String {
    "previous".into()
}

fn is_previous(from: &String) -> bool {
    from == "previous"
}

impl StageRecipe {
    pub(crate) fn sets_weights(&self) -> bool {
        self.set.iter().any(|text| text.trim_start().starts_with("backbone.weights"))
    }

    /// Where its result lies in `run`, the folder of the whole run.
    pub(crate) fn folder(&self, run: &Path) -> PathBuf {
        let folder = run.join(STAGES).join(&self.name);
        if self.result == StageResult::Merge { folder.join(MERGED) } else { folder }
    }
}

/// Which run a recipe extends, and by what.
///
/// The recipe has all tasks of that run beside the new ones. Values of the old ones and of all that
/// tasks share come from its checkpoint and stay; only what the new tasks own learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRecipe {
    /// Folder of the trained run.
    pub run: PathBuf,
    /// The tasks that it does not have.
    pub tasks: Vec<String>,
    /// Whether its best checkpoint is taken instead of its last one.
    #[serde(default)]
    pub best: bool,
}

/// Finished runs that a method combines or begins with, such as ScaLearn's sources.
///
/// They have the recipe's backbone with its weights, and the method that the recipe's method takes
/// parameters of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeRecipe {
    /// Folders of the runs, as many as the method asks for, in its order.
    pub runs: Vec<PathBuf>,
    /// Whether their best checkpoints are taken instead of their last ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
}

/// Teachers, and how much of what they make a step minimises beside the losses of the labels.
///
/// ```text
/// weight sum_t (logits D_t + features F_t)
///
/// D_t = tau^2 KL(softmax(teacher / tau) || softmax(student / tau))     where a pixel or an image has one class
///     = mean (student - teacher)^2                                     of raw outputs otherwise
/// F_t = mean over levels of mean (student - teacher)^2                 of what the head reads
/// ```
///
/// Its gradient is added after the balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistilRecipe {
    /// Folder of the run that teaches a task, by the task's name; one run may teach several.
    pub teachers: BTreeMap<String, PathBuf>,
    /// Whether their best checkpoints are taken instead of their last ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// Factor on all of it; `lambda`, 0.9 in MPT.
    pub weight: f64,
    /// Weight of the loss between outputs.
    #[serde(default = "one")]
    pub logits: f64,
    /// Weight of the loss between features; above 0 the teachers must have the recipe's backbone.
    #[serde(default = "one")]
    pub features: f64,
    /// `tau`.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

/// A memory of samples: of every training set whose tasks are all among those named, so many samples are
/// seen, at even distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRecipe {
    /// Tasks that were learned before.
    pub tasks: Vec<String>,
    /// Samples of each of their data sets.
    pub samples: usize,
}
