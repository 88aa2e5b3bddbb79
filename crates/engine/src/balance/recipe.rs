//! `[balancer]` of a recipe.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{BalancerConfig, Balancing, BalancingConfig, PrivateGrad};
use serde::{Deserialize, Serialize};

use crate::{Error, Recipe, Result};

/// How tasks are weighed step by step: `[balancer]` of a recipe.
///
/// The factors `tasks.<name>.weight` come first: the balancer sees weighed losses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerRecipe {
    /// A balancer of kind `loss`; `ew` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<BalancerConfig>,
    /// A balancer of kind `gram` or `rows`; a plain sum of weighed losses if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<BalancerConfig>,
    /// How the combiner weighs a task's own parameters; the method's own way if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_grad: Option<PrivateGrad>,
    /// Steps between measurements of conflict, which `metrics.jsonl` takes; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_every: Option<u64>,
}

impl BalancerRecipe {
    /// Checks everything and makes the balancing of `num_tasks` tasks.
    ///
    /// One task has nothing to combine: its combiner is left out, so that the single-task runs
    /// of a comparison can be made from the same recipe.
    ///
    /// # Errors
    /// Names the field, what it must be and what it is.
    pub(crate) fn init(&self, num_tasks: usize) -> Result<Balancing, LossError> {
        let config = |gradient, private_grad| BalancingConfig {
            loss: self.loss.clone(),
            gradient,
            private_grad,
        };
        let balancing = config(self.gradient.clone(), self.private_grad).init(num_tasks)?;
        match num_tasks {
            1 => config(None, None).init(1),
            _ => Ok(balancing),
        }
    }

    /// Whether a run ever forms one gradient per task.
    pub(crate) fn needs_rows(&self, num_tasks: usize) -> bool {
        num_tasks > 1 && (self.gradient.is_some() || self.conflict_every.is_some())
    }
}

/// Checks `[balancer]` of `recipe`, whose file is `origin`.
///
/// # Errors
/// The first field that does not fit; a union, whose tasks have one loss together.
pub(crate) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let Some(balancer) = &recipe.balancer else { return Ok(()) };
    let wrong = |key: &str, reason: String| {
        Err(Error::Recipe { origin: origin.into(), key: key.into(), reason })
    };
    if recipe.union.is_some() {
        let reason = "expected no [union] beside it, whose tasks have one loss together, found one";
        return wrong("balancer", reason.into());
    }
    if balancer.conflict_every == Some(0) {
        return wrong("balancer.conflict_every", "expected at least 1, found 0".into());
    }
    match balancer.init(recipe.tasks.len()) {
        Ok(_) => Ok(()),
        Err(LossError::Config { key, expected, found }) => {
            wrong(&format!("balancer.{key}"), format!("expected {expected}, found {found}"))
        }
        Err(e) => wrong("balancer", e.to_string()),
    }
}
