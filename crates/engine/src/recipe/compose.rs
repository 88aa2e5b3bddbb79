//! `[compose]`: finished runs whose parameters a method takes.

use super::config::Recipe;
use crate::{Error, Result};

/// Checks `[compose]` of `recipe`, whose file is `origin`, as far as it goes without the runs.
///
/// # Errors
/// A method that takes nothing of runs, or another number of them.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let Some(compose) = &recipe.compose else { return Ok(()) };
    let (key, reason) = match recipe.adapter.sources() {
        None => {
            let name = recipe.adapter.name();
            let reason = format!("expected none beside {name}, which takes nothing of other runs");
            ("compose", format!("{reason}, found one"))
        }
        Some(sources) if sources.count != compose.runs.len() => {
            let found = compose.runs.len();
            let reason = format!("expected {} for the adapter, found {found}", sources.count);
            ("compose.runs", reason)
        }
        Some(_) => return Ok(()),
    };
    Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
}
