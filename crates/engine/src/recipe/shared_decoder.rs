//! Heads that share one decoder, and what they cannot be beside.

use serde_json::json;

use super::change::differences;
use super::config::Recipe;
use crate::{Error, Result};

/// Checks the tasks of `recipe`, whose file is `origin`, whose heads share a decoder.
///
/// # Errors
/// Heads with other settings than the first that shares it, copies of the backbone per task, or
/// tasks that extend a run whose tasks have no decoder.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let wrong =
        |key: String, reason: String| Err(Error::Recipe { origin: origin.into(), key, reason });
    let shares = |name: &&String| recipe.tasks[*name].head.shares_decoder();
    let mut sharing = recipe.tasks.keys().filter(shares);
    let Some(first) = sharing.next() else { return Ok(()) };
    if recipe.backbone.per_task {
        let reason = format!(
            "expected false beside tasks.{first}.head, whose decoder is shared by tasks of one \
             backbone, found true"
        );
        return wrong("backbone.per_task".into(), reason);
    }
    let head = |task: &str| json!({ "head": recipe.tasks[task].head });
    for task in sharing {
        if let Some(change) = differences(&head(first), &head(task)).into_iter().next() {
            let (key, old, new) = (change.key, change.old, change.new);
            let reason = format!(
                "expected {old} as in tasks.{first}, which shares its decoder, found {new}"
            );
            return wrong(format!("tasks.{task}.{key}"), reason);
        }
    }
    let old = |name: &String| !recipe.learns(name) && recipe.tasks[name].head.shares_decoder();
    if recipe.extend.is_some() && !recipe.tasks.keys().any(old) {
        let reason = "expected a head that is whole, as no task of the run that is extended has a \
                      shared decoder, and what tasks share does not learn there, found one that \
                      shares a decoder";
        return wrong(format!("tasks.{first}.head"), reason.into());
    }
    Ok(())
}
