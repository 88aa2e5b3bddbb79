//! `[balancer]` of a recipe, which is the losses' own configuration.

use polyptych_losses::Error as LossError;
use polyptych_losses::balancers::{Balancer, BalancerConfig, BalancerKind, BalancerRecipe};

use polyptych_tensor::optim::{AdaTaskConfig, AdamWConfig};

use super::config::Recipe;
use super::optimiser::OptimiserRecipe;
use crate::{Error, Result};

/// Whether a run balances step by step, or measures conflict, which needs the same passes.
pub(crate) fn balances(recipe: &Recipe) -> bool {
    recipe.balancer.is_some() || recipe.train.conflict_every.is_some() || by_task(recipe)
}

/// Whether the optimiser takes every task's gradients.
pub(crate) fn by_task(recipe: &Recipe) -> bool {
    matches!(recipe.train.optimiser, OptimiserRecipe::AdaTask(_))
}

/// The balancer of `num_tasks` tasks of `recipe`.
///
/// # Errors
/// As [`of_tasks`].
pub(crate) fn init(recipe: &Recipe, num_tasks: usize) -> Result<Balancer, LossError> {
    of_tasks(recipe.balancer.clone().unwrap_or_default(), num_tasks)
}

/// The balancer of `num_tasks` tasks.
///
/// One task has nothing to combine: its aggregator is left out, so that the single-task runs of a
/// comparison can be made from the same recipe.
///
/// # Errors
/// Names the field, what it must be and what it is.
pub(crate) fn of_tasks(config: BalancerRecipe, num_tasks: usize) -> Result<Balancer, LossError> {
    let balancer = config.init(num_tasks)?;
    match num_tasks {
        1 => BalancerRecipe { gradient: None, private_grad: None, ..config }.init(1),
        _ => Ok(balancer),
    }
}

/// What of `recipe` has no meaning for tasks that share nothing that trains.
pub(crate) fn of_shared(recipe: &Recipe) -> Option<&'static str> {
    let balancer = init(recipe, recipe.tasks.len()).ok().filter(|_| recipe.tasks.len() > 1)?;
    if balancer.kind() != BalancerKind::Loss || recipe.train.conflict_every.is_some() {
        return Some("balancer.gradient and train.conflict_every look at what tasks share");
    }
    if by_task(recipe) {
        return Some("train.optimiser adatask looks at what tasks share");
    }
    balancer.norms_over().map(|_| "balancer.loss gradnorm looks at what tasks share")
}

/// `recipe` without what looks at what tasks share, and the fields that are removed.
pub(crate) fn alone(mut recipe: Recipe) -> (Recipe, Vec<&'static str>) {
    let mut removed = Vec::new();
    let mut note = |there: bool, key| removed.extend(there.then_some(key));
    note(recipe.train.conflict_every.take().is_some(), "train.conflict_every");
    if let OptimiserRecipe::AdaTask(AdaTaskConfig { betas, eps, .. }) = recipe.train.optimiser {
        recipe.train.optimiser = OptimiserRecipe::AdamW(AdamWConfig { betas, eps });
        note(true, "train.optimiser adatask, which is adamw");
    }
    if let Some(balancer) = &mut recipe.balancer {
        note(balancer.gradient.take().is_some(), "balancer.gradient");
        note(balancer.private_grad.take().is_some(), "balancer.private_grad");
    }
    let norms = init(&recipe, recipe.tasks.len()).is_ok_and(|b| b.norms_over().is_some());
    if let Some(balancer) = recipe.balancer.as_mut().filter(|_| norms) {
        note(balancer.loss.take().is_some(), "balancer.loss");
    }
    (recipe, removed)
}

/// How many gradients of each task a run of `recipe` holds at a time.
pub(crate) fn num_buffers(recipe: &Recipe) -> usize {
    let Ok(balancer) = init(recipe, recipe.tasks.len()) else { return 0 };
    let combines = matches!(balancer.kind(), BalancerKind::Gram | BalancerKind::Gradients);
    let measures = recipe.train.conflict_every.is_some();
    match recipe.tasks.len() > 1 && (combines || measures || by_task(recipe)) {
        true => 1 + balancer.extra_batches(),
        false => 0,
    }
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
        let key = match (&recipe.balancer, by_task(recipe)) {
            (Some(_), _) => "balancer",
            (None, true) => "train.optimiser",
            (None, false) => "train.conflict_every",
        };
        return wrong(key, reason.into());
    }
    if recipe.train.conflict_every == Some(0) {
        return wrong("train.conflict_every", "expected at least 1, found 0".into());
    }
    match init(recipe, recipe.tasks.len()) {
        Ok(balancer) => match misfit(recipe, &balancer) {
            Some((key, reason)) => wrong(key, reason),
            None => Ok(()),
        },
        Err(LossError::Config { key, expected, found }) => {
            wrong(&format!("balancer.{key}"), format!("expected {expected}, found {found}"))
        }
        Err(e) => wrong("balancer", e.to_string()),
    }
}

/// Two choices that cannot be had together, or a task that the recipe does not have.
fn misfit(recipe: &Recipe, balancer: &Balancer) -> Option<(&'static str, String)> {
    let named = |part: fn(&BalancerRecipe) -> &Option<BalancerConfig>| {
        let config = recipe.balancer.as_ref().and_then(|balancer| part(balancer).as_ref());
        config.map_or("none", |config| config.name())
    };
    let (loss, gradient) = (named(|balancer| &balancer.loss), named(|balancer| &balancer.gradient));
    let mut primary = balancer.primary().into_iter().flatten();
    let strange = primary.find(|name| !recipe.tasks.contains_key(*name));
    let cuts = balancer.kind() == BalancerKind::Features;
    if let Some(name) = strange {
        let names = recipe.task_names().join(", ");
        return Some(("balancer.loss.primary", format!("expected some of {names}, found {name}")));
    }
    if balancer.primary().is_some() && !recipe.train.lr_scale.is_empty() {
        let reason = format!("expected none beside {loss}, which looks a step ahead at one rate");
        return Some(("train.lr_scale", format!("{reason}, found some")));
    }
    if cuts && balancer.norms_over().is_some() {
        let reason = format!(
            "expected a loss weighting that needs no gradient norms, found {loss}: {gradient} \
             computes gradients only up to the heads"
        );
        return Some(("balancer.loss", reason));
    }
    if cuts && recipe.train.conflict_every.is_some() {
        let reason =
            format!("expected none, found one: {gradient} computes gradients only up to the heads");
        return Some(("train.conflict_every", reason));
    }
    if by_task(recipe) && balancer.kind() != BalancerKind::Loss {
        let reason = "expected none beside train.optimiser adatask, which takes every task's own \
                      gradients, found one";
        return Some(("balancer.gradient", reason.into()));
    }
    None
}
