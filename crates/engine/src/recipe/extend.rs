//! `[extend]`: a trained run gets more tasks, and everything that it had stays as it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::recipe::balancer::by_task;
use crate::{Error, Result, RunFolder};

/// Which run a recipe extends, and by what.
///
/// The recipe has all tasks of that run beside the new ones. Values of the old ones and of all that
/// tasks share come from its checkpoint and stay; only what the new tasks own learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendRecipe {
    /// Folder of the trained run.
    pub run: PathBuf,
    /// The tasks that it does not have.
    pub tasks: Vec<String>,
    /// Whether its best checkpoint is taken instead of its last one.
    #[serde(default)]
    pub best: bool,
}

impl Recipe {
    /// The recipe as one that extends `run` by the tasks that only the recipe has; without the rows
    /// of its table, which begin elsewhere.
    ///
    /// # Errors
    /// A folder that is no run, a run that has all tasks of the recipe already, or a recipe that
    /// cannot extend any.
    pub fn extending(self, run: &Path, best: bool) -> Result<Self> {
        let known = RunFolder::open(run)?.recipe()?.0.task_names();
        let tasks: Vec<String> =
            self.task_names().into_iter().filter(|task| !known.contains(task)).collect();
        if tasks.is_empty() {
            let reason = format!(
                "expected a task that {} does not have, found {}",
                run.display(),
                self.task_names().join(", ")
            );
            return Err(Error::Recipe { origin: self.name, key: "tasks".into(), reason });
        }
        let extend = Some(ExtendRecipe { run: run.into(), tasks, best });
        let recipe = Self { extend, compare: Vec::new(), ..self };
        recipe.validate(&recipe.name)?;
        Ok(recipe)
    }

    /// Whether `task` learns: all tasks do, or those by which a run is extended.
    pub fn learns(&self, task: &str) -> bool {
        self.extend.as_ref().is_none_or(|extend| extend.tasks.iter().any(|new| new == task))
    }
}

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
    let beside = "expected none beside [extend]";
    for (key, found, reason) in [
        ("balancer", recipe.balancer.is_some(), "whose new tasks share nothing that learns"),
        (
            "train.conflict_every",
            recipe.train.conflict_every.is_some(),
            "whose new tasks share nothing that learns",
        ),
        ("union", recipe.union.is_some(), "as new classes would change what old tasks predict"),
        ("compare", !recipe.compare.is_empty(), "as rows of other methods begin elsewhere"),
    ] {
        if found {
            return wrong(key, format!("{beside}, {reason}, found one"));
        }
    }
    if by_task(recipe) {
        let reason = "expected adamw or sgd beside [extend], whose new tasks share nothing that \
                      learns, found adatask";
        return wrong("train.optimiser", reason.into());
    }
    recipe.adapter.takes_new_tasks()?;
    Ok(())
}
