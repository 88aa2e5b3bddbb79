//! `[union]` of a recipe.

use polyptych_losses::QualityRetainingConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How classification tasks learn in one space of labels: `[union]` of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnionRecipe {
    /// Share of the target that is spread over all classes of all tasks, in `[0, 1)`.
    pub label_smoothing: f64,
    /// Holds each class to the logits it had; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_retaining: Option<QualityRetainingConfig>,
}
