//! A row of a recipe's table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Recipe, Result};

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

/// Checks the names of the rows of `recipe`, whose file is `origin`.
///
/// # Errors
/// A name that no folder can have or `--rows` cannot name, or two rows with one folder.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let folder = |row: &CompareRecipe| row.folder().to_lowercase();
    for (index, row) in recipe.compare.iter().enumerate() {
        let name = &row.name;
        let wrong = |reason: String| {
            let key = format!("compare.{index}.name");
            Err(Error::Recipe { origin: origin.into(), key, reason })
        };
        let refused = |c: char| c.is_control() || [',', '/', '\\'].contains(&c);
        if name.trim().is_empty() || name.starts_with('.') || name.contains(refused) {
            return wrong(format!(
                "expected a name without commas and slashes that begins with no dot, found `{name}`"
            ));
        }
        if recipe.compare[..index].iter().any(|earlier| folder(earlier) == folder(row)) {
            return wrong(format!("expected every name once, found {name} twice"));
        }
    }
    Ok(())
}
