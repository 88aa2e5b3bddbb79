//! The best that a task has reached within a run.

use serde::{Deserialize, Serialize};

/// When a task was at its best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The headline score.
    pub value: f64,
    /// Steps done then.
    pub step: u64,
    /// Passes over the training data done then.
    pub epoch: f64,
}
