//! Recipes in the program, and the way from flags to a recipe.

use std::path::Path;

use anyhow::{Context, Result, bail};
use polyptych_engine::{Baselines, Recipe};

use crate::flags::RecipeFlags;

/// A recipe that ships with the program.
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../recipes/", $name, ".toml")) }),*]
    };
}

/// All shipped recipes, the first one first to be tried.
pub(crate) const SHIPPED: &[Shipped] =
    shipped!["quickstart", "camvid", "camvid-bsds500", "pretrain-swin", "pretrain-vit"];

/// Baselines that ship with recipes, by file name.
const BASELINES: &[(&str, &str)] =
    &[("quickstart.baselines.json", include_str!("../recipes/quickstart.baselines.json"))];

/// The shipped recipe `name`.
pub(crate) fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|recipe| recipe.name == name)
}

/// The recipe that the flags ask for, and its recorded baselines.
pub(crate) fn open(flags: &RecipeFlags) -> Result<(Recipe, Option<Baselines>)> {
    let mut recipe = match find(&flags.recipe) {
        Some(shipped) => Recipe::parse(shipped.name, shipped.text, &flags.overrides)?,
        None => from_file(&flags.recipe, &flags.overrides)?,
    };
    restrict(&mut recipe, &flags.tasks)?;
    // `--set baselines=` switches recorded baselines off.
    recipe.baselines = recipe.baselines.take().filter(|file| !file.is_empty());
    let baselines = match (&recipe.baselines, find(&flags.recipe)) {
        (None, _) => None,
        (Some(file), Some(_)) => Some(shipped_baselines(file)?),
        (Some(file), None) => {
            let folder = Path::new(&flags.recipe).parent().unwrap_or(Path::new("."));
            Some(Baselines::open(&folder.join(file))?)
        }
    };
    Ok((recipe, baselines))
}

fn from_file(path: &str, overrides: &[String]) -> Result<Recipe> {
    if !Path::new(path).exists() {
        let names: Vec<&str> = SHIPPED.iter().map(|recipe| recipe.name).collect();
        bail!("{path}: expected a TOML file or one of {}, found neither", names.join(", "));
    }
    Ok(Recipe::open(Path::new(path), overrides)?)
}

fn shipped_baselines(file: &str) -> Result<Baselines> {
    let found = BASELINES.iter().find(|(name, _)| *name == file);
    let (name, text) = found.with_context(|| format!("baselines: {file} is not shipped"))?;
    Ok(Baselines::parse(name, text)?)
}

fn restrict(recipe: &mut Recipe, tasks: &[String]) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let known = recipe.task_names();
    if let Some(unknown) = tasks.iter().find(|task| !known.contains(task)) {
        bail!("--tasks: expected some of {}, found {unknown}", known.join(", "));
    }
    recipe.tasks.retain(|name, _| tasks.contains(name));
    Ok(())
}
