//! `[replay]`: of tasks learned before, some samples are seen again.

use super::config::Recipe;
use crate::{Error, Result};

/// Checks `[replay]` of `recipe`, whose file is `origin`, as far as it goes without the data.
///
/// # Errors
/// No sample, or a task that is not the recipe's.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let Some(replay) = &recipe.replay else { return Ok(()) };
    let (key, reason) = match replay.tasks.iter().find(|task| !recipe.tasks.contains_key(*task)) {
        _ if replay.samples == 0 => ("replay.samples", "expected at least 1, found 0".into()),
        Some(task) => {
            let known = recipe.task_names().join(", ");
            ("replay.tasks", format!("expected some of {known}, found {task}"))
        }
        None => return Ok(()),
    };
    Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
}
