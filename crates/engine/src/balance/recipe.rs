//! `[balancer]` of a recipe, which is the losses' own configuration.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{Balancing, BalancingConfig};

use crate::{Error, Recipe, Result};

/// Whether a run balances step by step, or measures conflict, which needs the same passes.
pub(crate) fn balances(recipe: &Recipe) -> bool {
    recipe.balancer.is_some() || recipe.train.conflict_every.is_some()
}

/// The balancing of `num_tasks` tasks of `recipe`.
///
/// One task has nothing to combine: its combiner is left out, so that the single-task runs of a
/// comparison can be made from the same recipe.
///
/// # Errors
/// Names the field, what it must be and what it is.
pub(crate) fn init(recipe: &Recipe, num_tasks: usize) -> Result<Balancing, LossError> {
    let config = recipe.balancer.clone().unwrap_or_default();
    let balancing = config.init(num_tasks)?;
    match num_tasks {
        1 => BalancingConfig { gradient: None, private_grad: None, ..config }.init(1),
        _ => Ok(balancing),
    }
}

/// Whether a run of `recipe` ever forms one gradient per task.
pub(crate) fn needs_rows(recipe: &Recipe) -> bool {
    let combines = recipe.balancer.as_ref().is_some_and(|config| config.gradient.is_some());
    recipe.tasks.len() > 1 && (combines || recipe.train.conflict_every.is_some())
}

/// Checks `[balancer]` and `train.conflict_every` of `recipe`, whose file is `origin`.
///
/// # Errors
/// The first field that does not fit; a union, whose tasks have one loss together.
pub(crate) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    if !balances(recipe) {
        return Ok(());
    }
    let wrong = |key: &str, reason: String| {
        Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
    };
    if recipe.union.is_some() {
        let reason = "expected no [union] beside it, whose tasks have one loss together, found one";
        let key = if recipe.balancer.is_some() { "balancer" } else { "train.conflict_every" };
        return wrong(key, reason.into());
    }
    if recipe.train.conflict_every == Some(0) {
        return wrong("train.conflict_every", "expected at least 1, found 0".into());
    }
    match init(recipe, recipe.tasks.len()) {
        Ok(_) => Ok(()),
        Err(LossError::Config { key, expected, found }) => {
            wrong(&format!("balancer.{key}"), format!("expected {expected}, found {found}"))
        }
        Err(e) => wrong("balancer", e.to_string()),
    }
}
