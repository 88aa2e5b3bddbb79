//! `[[stage]]`: parts of a run that train one after the other.

use std::path::Path;

use polyptych_adapters::AdapterConfig;
use toml::{Table, Value};

use super::config::Recipe;
use super::parse::parse_edited;
use super::runs::{StageRecipe, StageResult};
use crate::{Error, Result};

/// What stands in front of a stage's name where its folder is meant.
const STAGE: &str = "stage:";

impl Recipe {
    /// The recipe with the tasks of `names` alone, all of them where none is named, and without what
    /// its method has for others.
    ///
    /// # Errors
    /// A task that the recipe does not have.
    pub fn of_tasks(&self, names: &[String]) -> Result<Self> {
        parse_edited(&self.name, &self.to_toml()?, &[], |table| keep_tasks(table, names))
    }

    /// The recipe of the stage at `index`, which is part of the run in the folder `run`.
    ///
    /// # Errors
    /// A field that no recipe has, a value that does not fit, a stage that is not an earlier one.
    pub fn of_stage(&self, index: usize, run: &Path) -> Result<Self> {
        let stage = &self.stage[index];
        let origin = format!("{}: stage.{index}", self.name);
        let plain = Self {
            stage: Vec::new(),
            compare: Vec::new(),
            stage_name: Some(stage.name.clone()),
            ..self.clone()
        };
        parse_edited(&origin, &plain.to_toml()?, &stage.set, |table| {
            keep_tasks(table, &stage.tasks)?;
            begin(table, &self.stage[..=index], run)?;
            table.iter_mut().try_for_each(|(_, value)| place(value, &self.stage[..index], run))
        })
    }
}

/// What the names of settings that have a value per task end with, as in `r_per_task`.
const PER_TASK: &str = "_per_task";

/// Leaves the tasks of `names` in the table of a recipe, and what the method has for them.
fn keep_tasks(table: &mut Table, names: &[String]) -> Result<(), (String, String)> {
    let Some(Value::Table(tasks)) = table.get_mut("tasks").filter(|_| !names.is_empty()) else {
        return Ok(());
    };
    if let Some(name) = names.iter().find(|name| !tasks.contains_key(*name)) {
        let known = tasks.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(("tasks".into(), format!("expected some of {known}, found {name}")));
    }
    let gone: Vec<String> = tasks.keys().filter(|name| !names.contains(name)).cloned().collect();
    tasks.retain(|name, _| gone.iter().all(|gone| gone != name));
    if let Some(adapter) = table.get_mut("adapter").and_then(Value::as_table_mut) {
        leave_out(adapter, &gone);
    }
    let text = table.get_mut("text").and_then(|text| text.get_mut("adapter"));
    if let Some(adapter) = text.and_then(Value::as_table_mut) {
        leave_out(adapter, &gone);
    }
    Ok(())
}

/// Takes the tasks that are `gone` out of the settings of a method. Names of no task stay: they are a
/// mistake, which is reported.
fn leave_out(settings: &mut Table, gone: &[String]) {
    // So are settings that no method has.
    let method = Value::Table(settings.clone()).try_into::<AdapterConfig>();
    let lists = method.map_or(&[][..], |method| method.task_lists());
    for (key, value) in settings.iter_mut() {
        if key.ends_with(PER_TASK) || lists.contains(&key.as_str()) {
            without(value, gone);
        }
    }
}

/// Takes names out of a table's keys, or out of lists in lists; a list that is empty then goes too.
fn without(value: &mut Value, gone: &[String]) {
    let is_gone = |name: &str| gone.iter().any(|gone| gone == name);
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Table(values) => values.retain(|name, _| !is_gone(name)),
        Value::Array(list) => list.retain_mut(|value| {
            let was_empty = is_empty(value);
            without(value, gone);
            !value.as_str().is_some_and(is_gone) && (was_empty || !is_empty(value))
        }),
        _ => {}
    }
}

/// Names the weights that the last of `stages` begins with.
fn begin(table: &mut Table, stages: &[StageRecipe], run: &Path) -> Result<(), (String, String)> {
    let Some((stage, earlier)) = stages.split_last() else { return Ok(()) };
    let folder = match (stage.from.as_str(), earlier.last()) {
        ("previous", Some(previous)) if !table.contains_key("extend") && !stage.sets_weights() => {
            previous.folder(run)
        }
        ("previous" | "fresh", _) => return Ok(()),
        (name, _) => match earlier.iter().find(|stage| stage.name == name) {
            Some(stage) => stage.folder(run),
            None if Path::new(name).join(crate::run::RECIPE).exists() => name.into(),
            None => {
                let reason = format!(
                    "expected previous, fresh, the folder of a run, or an earlier stage ({}), found \
                     {name}",
                    names(earlier)
                );
                return Err(("from".into(), reason));
            }
        },
    };
    if let Some(Value::Table(backbone)) = table.get_mut("backbone") {
        backbone.insert("weights".into(), Value::String(folder.display().to_string()));
    }
    Ok(())
}

/// Puts folders in the place of names of stages.
fn place(value: &mut Value, earlier: &[StageRecipe], run: &Path) -> Result<(), (String, String)> {
    match value {
        Value::String(text) => {
            let Some(name) = text.strip_prefix(STAGE) else { return Ok(()) };
            let Some(stage) = earlier.iter().find(|stage| stage.name == name) else {
                let known = names(earlier);
                let reason = format!("expected an earlier stage ({known}), found {name}");
                return Err((text.clone(), reason));
            };
            *text = stage.folder(run).display().to_string();
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|value| place(value, earlier, run)),
        Value::Table(table) => {
            table.iter_mut().try_for_each(|(_, value)| place(value, earlier, run))
        }
        _ => Ok(()),
    }
}

fn names(stages: &[StageRecipe]) -> String {
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    if names.is_empty() { "there is none".into() } else { names.join(", ") }
}

/// Checks the stages of `recipe`, whose file is `origin`, and the recipe of each.
///
/// # Errors
/// A name that stands twice or cannot be that of a folder; what cannot become of a stage; whatever is
/// wrong with a stage's recipe.
pub(super) fn validate(recipe: &Recipe, origin: &str) -> Result<()> {
    let stages = &recipe.stage;
    let wrong = |index: usize, key: &str, reason: String| {
        let key = format!("stage.{index}.{key}");
        Err(Error::Recipe { origin: origin.into(), key, reason })
    };
    for (index, stage) in stages.iter().enumerate() {
        let name = &stage.name;
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(letter) {
            let reason = format!("expected letters, digits, - and _, found `{name}`");
            return wrong(index, "name", reason);
        }
        if ["previous", "fresh"].contains(&name.as_str()) {
            return wrong(index, "name", format!("expected another name, found {name}"));
        }
        if stages[..index].iter().any(|earlier| earlier.name == *name) {
            return wrong(index, "name", format!("expected every name once, found {name} twice"));
        }
        // Before `set` is read, which may name a task that the recipe lacks and so seem to bring it.
        if let Some(task) = stage.tasks.iter().find(|task| !recipe.tasks.contains_key(*task)) {
            let known = recipe.task_names().join(", ");
            return wrong(index, "tasks", format!("expected some of {known}, found {task}"));
        }
        let own = recipe.of_stage(index, Path::new(""))?;
        check_result(&own, stage.result, index + 1 == stages.len())
            .or_else(|reason| wrong(index, "result", reason))?;
    }
    Ok(())
}

/// Whether `result` can become of a stage with the recipe `own`; the reason where it cannot.
fn check_result(own: &Recipe, result: StageResult, is_last: bool) -> Result<(), String> {
    match (result, is_last) {
        (StageResult::Merge | StageResult::Drop, true) => Err(
            "expected keep for the last stage, whose result is the run's, or prune, found another"
                .into(),
        ),
        (StageResult::Prune, false) => Err(
            "expected keep, merge or drop for a stage before the last, found prune, whose model \
             trains no further"
                .into(),
        ),
        (StageResult::Prune, true) => {
            own.adapter.check_prunes().map_err(|e| format!("adapter.{e}"))
        }
        _ => Ok(()),
    }
}
