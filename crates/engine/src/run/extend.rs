//! The run that another one extends: what its recipe must agree in, and its values.

use std::path::Path;

use polyptych_adapters::AddTask;
use polyptych_data::TaskSpec;
use polyptych_tensor::{LoadOptions, LoadReport};
use serde_json::{Map, Value, json};

use crate::recipe::change::{Change, differences};
use crate::run::{MERGE, same_recipe};
use crate::{Checkpoint, Error, ExtendRecipe, Model, Recipe, Result, RunFolder};

/// A trained run that gets more tasks.
pub(crate) struct Extended<'a> {
    extend: &'a ExtendRecipe,
    add_task: AddTask,
    checkpoint: Checkpoint,
}

/// The tasks of the run that `recipe` extends; none if it extends none, or one that is not there:
/// to count parameters, it need not be where the data have all tasks.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn known_specs(recipe: &Recipe) -> Result<Vec<TaskSpec>> {
    match recipe.extend.as_ref().map(|extend| RunFolder::open(&extend.run)) {
        Some(Ok(folder)) => folder.specs(),
        Some(Err(_)) | None => Ok(Vec::new()),
    }
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
}

impl<'a> Extended<'a> {
    /// Opens the run that `recipe` extends, if it does, and checks that both fit together.
    ///
    /// # Errors
    /// A folder that is no run, or is merged; a task of the run that the recipe lacks, a new task
    /// that the run has, a setting on which the old tasks' outputs depend and that differs.
    pub(crate) fn open(recipe: &'a Recipe) -> Result<Option<Self>> {
        let Some(extend) = &recipe.extend else { return Ok(None) };
        let folder = RunFolder::open(&extend.run)?;
        if extend.run.join(MERGE).exists() {
            let reason = "expected a trained run to extend, found a merged model".into();
            return Err(Error::Run { path: extend.run.clone(), reason });
        }
        let (old, text) = folder.recipe()?;
        check_tasks(recipe, extend, &old)?;
        check_settings(recipe, extend, &old)?;
        let checkpoint = Checkpoint::open(&folder.checkpoints(), extend.best)?;
        same_recipe(&extend.run, &checkpoint, &text)?;
        let add_task = recipe.adapter.takes_new_tasks()?;
        Ok(Some(Self { extend, add_task, checkpoint }))
    }

    /// Puts the run's values into `model`; what the new tasks own stays as it is.
    ///
    /// # Errors
    /// Values that do not fit.
    pub(crate) fn load(self, model: &Model) -> Result<LoadReport> {
        let origin = self.extend.run.display().to_string();
        model.refuse_rounded_down(&origin, self.checkpoint.rounded_up)?;
        let mut tensors = self.checkpoint.model;
        for task in &self.extend.tasks {
            tensors = (self.add_task)(&tensors, task)?;
        }
        let heads: Vec<String> =
            self.extend.tasks.iter().map(|task| format!("heads.{task}.*")).collect();
        // A run of dense tasks has no final norm, which a first task of whole images reads.
        let mut allow_missing = vec!["backbone.norm.*", "backbone.fc_norm.*"];
        allow_missing.extend(heads.iter().map(String::as_str));
        let options = LoadOptions { allow_missing: &allow_missing, ..LoadOptions::default() };
        Ok(model.store.load(&origin, &tensors, &options)?)
    }
}

/// Every task of the recipe is either the old run's or new.
fn check_tasks(recipe: &Recipe, extend: &ExtendRecipe, old: &Recipe) -> Result<()> {
    let wrong = |key: &str, expected: String, found: &str| {
        let reason = format!("expected {expected}, found {found}");
        Err(Error::Recipe { origin: recipe.name.clone(), key: key.into(), reason })
    };
    let run = extend.run.display();
    if let Some(task) = extend.tasks.iter().find(|task| old.tasks.contains_key(*task)) {
        return wrong("extend.tasks", format!("tasks that {run} does not have"), task);
    }
    if let Some(task) = old.tasks.keys().find(|task| !recipe.tasks.contains_key(*task)) {
        let all = old.task_names().join(", ");
        return wrong("tasks", format!("all tasks of {run}: {all}"), &format!("no {task}"));
    }
    let stray = |task: &&String| !old.tasks.contains_key(*task) && !recipe.learns(task);
    match recipe.tasks.keys().find(stray) {
        Some(task) => {
            let expected = format!("every task that {run} does not have");
            wrong("extend.tasks", expected, &format!("no {task}"))
        }
        None => Ok(()),
    }
}

/// Whatever the outputs of the old run's tasks depend on is as it was.
fn check_settings(recipe: &Recipe, extend: &ExtendRecipe, old: &Recipe) -> Result<()> {
    let [expected, found] = [old, recipe].map(|recipe| settings(recipe, &old.task_names()));
    match differences(&expected, &found).into_iter().next() {
        Some(Change { key, old, new, .. }) => {
            let run = extend.run.display();
            let reason = format!("expected {old} as in {run}, found {new}");
            Err(Error::Recipe { origin: recipe.name.clone(), key, reason })
        }
        None => Ok(()),
    }
}

/// What the outputs of `tasks` depend on, under the names of the recipe's fields.
fn settings(recipe: &Recipe, tasks: &[String]) -> Value {
    let heads: Map<String, Value> =
        tasks.iter().map(|task| (task.clone(), json!({"head": recipe.tasks[task].head}))).collect();
    let (backbone, data) = (&recipe.backbone, &recipe.data);
    json!({
        "precision": recipe.precision,
        "backbone": {
            "name": backbone.name,
            "weights": backbone.weights,
            "pyramid": backbone.pyramid,
            "patch_size": backbone.patch_size,
        },
        "adapter": recipe.adapter,
        "data": {"img_size": data.img_size, "mean": data.mean, "std": data.std},
        "tasks": heads,
    })
}
