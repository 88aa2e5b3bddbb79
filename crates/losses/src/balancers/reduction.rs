//! Sum or mean of equal gradients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether equal gradients count once for each task or once in all.
///
/// Under SGD the two differ by a factor `T` in learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// `T` orthogonal task gradients of equal length give their sum.
    Sum,
    /// They give their mean.
    Mean,
}

impl Reduction {
    /// What the sum is multiplied by.
    pub(crate) fn factor(self, tasks: usize) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / tasks as f64,
        }
    }
}
