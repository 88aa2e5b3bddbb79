//! How the settings of a recipe's rows are chosen, on seeds and samples that no result uses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::source::SourceRecipe;

/// Successive halving (Jamieson, Talwalkar, AISTATS 2016): every row tries all rates for few
/// steps, the better half for more, and so on; the best of the last round is the row's own.
///
/// Rounds begin anew, each with its whole schedule and a seed of its own, so all rows are given
/// the same number of steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuneRecipe {
    /// Seed of the first round, 1000 or more, where no table has its seeds; a round later is one
    /// more.
    pub seed: u64,
    /// Learning rates (`train.lr`) that every row tries.
    pub lr: Vec<f64>,
    /// Steps of each round (`train.steps`), fewest first.
    pub steps: Vec<u64>,
    /// Training data instead of the recipe's.
    pub train: Vec<SourceRecipe>,
    /// Evaluation data instead of the recipe's; none of them may be one that the recipe reports.
    pub eval: Vec<SourceRecipe>,
    /// What the recipe's own method chooses besides the rate, as `tune` of a row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, Vec<Value>>,
}
