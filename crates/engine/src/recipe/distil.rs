//! `[distil]`: tasks learn from finished runs too.

use super::config::Recipe;
use crate::{Error, Result};

/// Checks `[distil]` of `recipe`, whose file is `origin`, as far as it goes without the teachers.
///
/// # Errors
/// A factor that is out of range, no teacher, or one of a task that the recipe does not learn.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let Some(distil) = &recipe.distil else { return Ok(()) };
    let wrong = |key: &str, expected: String, found: String| {
        let (key, reason) =
            (format!("distil.{key}"), format!("expected {expected}, found {found}"));
        Err(Error::Recipe { origin: origin.into(), key, reason })
    };
    for (key, factor) in
        [("weight", distil.weight), ("logits", distil.logits), ("features", distil.features)]
    {
        if !factor.is_finite() || factor < 0.0 {
            return wrong(key, "a finite factor of at least 0".into(), factor.to_string());
        }
    }
    if !(distil.temperature.is_finite() && distil.temperature > 0.0) {
        return wrong("temperature", "a positive number".into(), distil.temperature.to_string());
    }
    if distil.teachers.is_empty() {
        return wrong("teachers", "a run for at least one task".into(), "none".into());
    }
    let strange = |task: &&String| !recipe.tasks.contains_key(*task) || !recipe.learns(task);
    match distil.teachers.keys().find(strange) {
        None => Ok(()),
        Some(task) => {
            let all: Vec<String> =
                recipe.task_names().into_iter().filter(|task| recipe.learns(task)).collect();
            wrong("teachers", format!("some of {}", all.join(", ")), task.clone())
        }
    }
}
