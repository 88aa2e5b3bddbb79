//! `polyptych recipe`: what ships with the program.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use polyptych_engine::Recipe;

use crate::flags::RecipeCommand;
use crate::output::say;
use crate::propose;
use crate::recipes::{self, SHIPPED};
use crate::reference;

pub(crate) fn run(command: &RecipeCommand) -> Result<()> {
    match command {
        RecipeCommand::List => list(),
        RecipeCommand::Methods => reference::list("adapter method"),
        RecipeCommand::Heads => reference::list("head"),
        RecipeCommand::Losses => reference::list("loss"),
        RecipeCommand::Backbones => reference::list_backbones(),
        RecipeCommand::Balancers => reference::list_balancers(),
        RecipeCommand::Metrics => reference::list_metrics(),
        RecipeCommand::Explain { key } => reference::explain(key),
        RecipeCommand::Schema(flags) => reference::schema(flags),
        RecipeCommand::Show { name } => {
            say!("{}", named(name)?.trim_end());
            Ok(())
        }
        RecipeCommand::Copy { name, to } => copy(name, to.clone()),
        RecipeCommand::New { manifest, root, out } => {
            propose::new(manifest, root.as_deref(), out.clone())
        }
    }
}

fn list() -> Result<()> {
    for (name, text) in SHIPPED {
        let recipe = Recipe::parse(name, text, &[])?;
        say!("{name:<16} {}", recipe.description);
    }
    Ok(())
}

/// The text of the shipped recipe `name`.
fn named(name: &str) -> Result<&'static str> {
    let names = recipes::names();
    recipes::find(name).with_context(|| {
        format!("{name}: expected one of {}{}", names.join(", "), recipes::meant(name, &names))
    })
}

fn copy(name: &str, to: Option<PathBuf>) -> Result<()> {
    let text = named(name)?;
    let to = to.unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    if to.exists() {
        bail!("{}: expected a new file, found one that exists", to.display());
    }
    std::fs::write(&to, text).with_context(|| to.display().to_string())?;
    say!("{}", to.display());
    Ok(())
}
