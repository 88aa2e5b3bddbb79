//! Parameters of finished runs, put into a model whose method takes them.

use std::path::Path;

use polyptych_adapters::{Sources, is_method_parameter};
use polyptych_tensor::{LoadOptions, Tensors};
use serde_json::Value;

use crate::model::trunk::BACKBONE;
use crate::run::{MERGE, same_recipe};
use crate::{Checkpoint, ComposeRecipe, Error, Model, Recipe, Result, RunFolder};

/// Puts what the method of `recipe` takes of the runs of `[compose]` into `model`.
///
/// # Errors
/// A folder that is no run, or is merged; a run of another backbone or method; values that do not
/// fit.
pub(crate) fn load(model: &Model, recipe: &Recipe) -> Result<()> {
    let (Some(compose), Some(sources)) = (&recipe.compose, recipe.adapter.sources()) else {
        return Ok(());
    };
    let mut tensors: Tensors = model.store.tensors().into_iter().collect();
    for (index, run) in compose.runs.iter().enumerate() {
        let own = parameters(recipe, compose, &sources, run)?;
        for (name, tensor) in (sources.take)(&own, index, &recipe.task_names())? {
            let places: Vec<_> = model.trunks().iter().filter_map(|t| t.place(&name)).collect();
            if places.is_empty() {
                let reason =
                    format!("expected a parameter that the recipe's method has, found {name}");
                return Err(Error::Run { path: run.clone(), reason });
            }
            for place in places {
                tensors.insert(place.clone(), tensor.shallow_clone());
            }
        }
    }
    model.store.load("compose.runs", &tensors, &LoadOptions::default())?;
    Ok(())
}

/// The method's parameters of the run in `path`, under the backbone's names.
fn parameters(
    recipe: &Recipe,
    compose: &ComposeRecipe,
    sources: &Sources,
    path: &Path,
) -> Result<Tensors> {
    let folder = RunFolder::open(path)?;
    let (old, text) = folder.recipe()?;
    check(recipe, &old, sources, path)?;
    let checkpoint = Checkpoint::open(&folder.checkpoints(), compose.best)?;
    same_recipe(path, &checkpoint, &text)?;
    let prefix = format!("{BACKBONE}.");
    let own = checkpoint.model.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(&prefix).filter(|name| is_method_parameter(name))?;
        Some((name.to_owned(), tensor))
    });
    Ok(own.collect())
}

/// The run `old` in `path` has the recipe's backbone, and a method that its method takes.
fn check(recipe: &Recipe, old: &Recipe, sources: &Sources, path: &Path) -> Result<()> {
    let (new, known) = (&recipe.backbone, &old.backbone);
    let adapter = serde_json::to_value(&old.adapter).unwrap_or(Value::Null);
    let wrong = |key: &str, expected: &str, found: &str| {
        let reason =
            format!("{key}: expected {expected} for the recipe that takes it, found {found}");
        Err(Error::Run { path: path.into(), reason })
    };
    if path.join(MERGE).exists() {
        return wrong("form", "a trained run", "a merged model");
    }
    if new.name != known.name {
        return wrong("backbone.name", &new.name, &known.name);
    }
    if new.patch_size != known.patch_size {
        let side = |size: Option<i64>| size.map_or("none".into(), |size| size.to_string());
        return wrong("backbone.patch_size", &side(new.patch_size), &side(known.patch_size));
    }
    if new.weights != known.weights {
        return wrong("backbone.weights", &new.weights, &known.weights);
    }
    if known.per_task {
        return wrong("backbone.per_task", "false", "true");
    }
    let fields = sources.adapter.as_object().into_iter().flatten();
    match fields.into_iter().find(|(key, expected)| adapter.get(key.as_str()) != Some(*expected)) {
        None => Ok(()),
        Some((key, expected)) => {
            let found = adapter.get(key).unwrap_or(&Value::Null).to_string();
            wrong(&format!("adapter.{key}"), &expected.to_string(), &found)
        }
    }
}
