//! `backbone.per_task`, and what it cannot be beside.

use super::balancer::of_shared;
use super::config::Recipe;
use crate::{Error, Result};

/// Checks `backbone.per_task` of `recipe`, whose file is `origin`.
///
/// # Errors
/// What tasks share, beside copies that share nothing that trains.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let reason = match recipe.adapter.not_per_task() {
        _ if !recipe.backbone.per_task => return Ok(()),
        Some(reason) => format!("the method {} {reason}", recipe.adapter.name()),
        None if recipe.union.is_some() => "[union] joins the tasks of one trunk".into(),
        None => match of_shared(recipe) {
            Some(reason) => reason.into(),
            None => return Ok(()),
        },
    };
    let reason = format!("expected false, found true: {reason}");
    Err(Error::Recipe { origin: origin.into(), key: "backbone.per_task".into(), reason })
}
