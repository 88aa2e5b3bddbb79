//! What cannot be beside `[text]`.

use super::balancer::balances;
use super::config::Recipe;
use crate::{Error, Result};

/// Checks what cannot stand beside `[text]` in `recipe`, whose file is `origin`.
///
/// # Errors
/// Whatever takes a batch apart, or asks for losses without their texts.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    if recipe.text.is_none() {
        return Ok(());
    }
    let beside = [
        ("balancer", balances(recipe), "a balancer, conflict_every or adatask"),
        ("union", recipe.union.is_some(), "a union"),
        ("train.accumulate", recipe.train.accumulate > 1, "parts of a batch"),
        ("extend", recipe.extend.is_some(), "a run that is extended"),
        ("backbone.per_task", recipe.backbone.per_task, "copies per task"),
        ("backbone.grad_checkpointing", recipe.backbone.grad_checkpointing, "it"),
    ];
    let Some((key, _, found)) = beside.iter().find(|(_, there, _)| *there) else { return Ok(()) };
    let reason = format!("expected none beside [text], found {found}");
    Err(Error::Recipe { origin: origin.into(), key: (*key).into(), reason })
}
