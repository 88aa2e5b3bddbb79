//! Recipes by the names that commands take.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace;

/// The file of a shipped recipe, or the file itself.
pub(super) fn file(recipe: &str) -> PathBuf {
    if recipe.ends_with(".toml") {
        return PathBuf::from(recipe);
    }
    workspace::root().join("crates/cli/recipes").join(format!("{recipe}.toml"))
}

/// A recipe as it stands in its file.
pub(super) fn read(recipe: &str) -> Result<toml::Table> {
    let path = file(recipe);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}
