//! A row of a recipe's table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Another method, trained as the recipe says but for some fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRecipe {
    /// Its name in tables.
    pub name: String,
    /// What differs from the recipe, as behind `--set`.
    pub set: Vec<String>,
    /// Whether every task is trained alone, in a run of its own without stages. In a recipe with
    /// stages, transfer from earlier tasks is measured against the first such row.
    #[serde(default)]
    pub separate: bool,
    /// Whether `train` also trains it, after the recipe's own method, for the closing table; the
    /// other rows are those of `cargo xtask reproduce`.
    #[serde(default)]
    pub closing: bool,
    /// Expected range of headline scores, which `cargo xtask reproduce` checks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub band: BTreeMap<String, [f64; 2]>,
    /// What `cargo xtask reproduce --tune` chooses for this row besides the learning rate: values
    /// of fields, such as `{ "adapter.frequency" = [50.0, 200.0] }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tune: BTreeMap<String, Vec<serde_json::Value>>,
}

impl CompareRecipe {
    /// Name of the folder of its run, below `compare` in that of the recipe's own.
    pub fn folder(&self) -> String {
        self.name.replace(' ', "_")
    }
}
