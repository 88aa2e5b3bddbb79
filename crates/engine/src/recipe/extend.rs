//! `[extend]`: a trained run gets more tasks, and everything that it had stays as it is.

use super::balancer::by_task;
use super::config::Recipe;
use crate::{Error, Result};

/// Checks `[extend]` of `recipe`, whose file is `origin`, as far as it goes without the run.
///
/// # Errors
/// A task that stands twice or is not the recipe's, a method whose trunk would change, parts of a
/// recipe that join what learns with what stays.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let Some(extend) = &recipe.extend else { return Ok(()) };
    let wrong = |key: &str, reason: String| {
        Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
    };
    let tasks = &extend.tasks;
    if tasks.is_empty() {
        return wrong("extend.tasks", "expected at least one task, found none".into());
    }
    if let Some(task) = (1..tasks.len()).find_map(|i| tasks[..i].iter().find(|t| **t == tasks[i])) {
        return wrong("extend.tasks", format!("expected every task once, found {task} twice"));
    }
    if let Some(task) = tasks.iter().find(|task| !recipe.tasks.contains_key(*task)) {
        let known = recipe.task_names().join(", ");
        return wrong("extend.tasks", format!("expected some of {known}, found {task}"));
    }
    let beside = "expected none with [extend], found one";
    for (key, found, reason) in [
        (
            "balancer",
            recipe.balancer.is_some(),
            "the new tasks have no trainable parameters in common",
        ),
        (
            "train.conflict_every",
            recipe.train.conflict_every.is_some(),
            "the new tasks have no trainable parameters in common",
        ),
        ("union", recipe.union.is_some(), "new classes would change what old tasks predict"),
        ("compare", !recipe.compare.is_empty(), "rows of other methods start from other values"),
    ] {
        if found {
            return wrong(key, format!("{beside}: {reason}"));
        }
    }
    if by_task(recipe) {
        let reason = "expected adamw or sgd with [extend], found adatask: the new tasks have no \
                      trainable parameters in common";
        return wrong("train.optimiser", reason.into());
    }
    recipe.adapter.takes_new_tasks()?;
    Ok(())
}
