//! The optimisers that a recipe can name.

use polyptych_tensor::optim::{AdaTaskConfig, AdamWConfig, SgdConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Optimisers by name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimiserRecipe {
    /// AdamW.
    AdamW(AdamWConfig),
    /// SGD with momentum.
    Sgd(SgdConfig),
    /// AdaTask: Adam with moments of their own for every task.
    AdaTask(AdaTaskConfig),
}
