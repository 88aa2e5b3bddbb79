//! What pruning left of a run in stages that ends as the pruned model.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The record beside the pruned model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pruned {
    /// The merged model.
    before: Cost,
    /// The pruned one.
    after: Cost,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cost {
    multiply_adds: u64,
    ms: Median,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Median {
    median: f64,
}

impl Pruned {
    /// Of the run in `folder`; nothing of a run that was not pruned.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("pruned/merge.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string()).map(Some)
    }

    /// Multiply-adds of the adapted projections, in percent of those of the merged model.
    pub(crate) fn multiply_adds(&self) -> f64 {
        100.0 * self.after.multiply_adds as f64 / self.before.multiply_adds as f64
    }

    /// Median time of a pass, in milliseconds.
    pub(crate) fn ms(&self) -> f64 {
        self.after.ms.median
    }
}
