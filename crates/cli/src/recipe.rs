//! `polyptych recipe`: what ships with the program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::{Recipe, balancers};

use crate::command::Subcommand;
use crate::output::say;
use crate::propose;
use crate::recipes::{self, SHIPPED};

/// Recipes that ship with the program, and what they can name
#[derive(Debug, Parser)]
#[command(name = "recipe")]
pub(crate) struct Recipes {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Names and descriptions
    List,
    /// Names of balancers, what each needs and costs, and its paper
    Balancers,
    /// Print a recipe
    Show {
        /// Name of a shipped recipe
        name: String,
    },
    /// Write a whole recipe for a data set of one's own, and say what was chosen and why
    #[command(after_help = "Examples:\n  polyptych recipe new mine.toml --root DIR")]
    New {
        /// The manifest, such as `polyptych data new` writes
        manifest: PathBuf,
        /// Folder of the data set [default: data/NAME after the manifest]
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// The recipe, a new file [default: NAME.recipe.toml after the manifest]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Copy a recipe to a file, to change it there
    Copy {
        /// Name of a shipped recipe
        name: String,
        /// The file [default: NAME.toml]
        to: Option<PathBuf>,
    },
}

impl Subcommand for Recipes {
    fn run(flags: &Self) -> Result<ExitCode> {
        match &flags.command {
            Command::List => list(),
            Command::Balancers => list_balancers(),
            Command::Show { name } => show(name),
            Command::Copy { name, to } => copy(name, to.clone()),
            Command::New { manifest, root, out } => {
                propose::new(manifest, root.as_deref(), out.clone())
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(name: &str) -> Result<()> {
    say!("{}", named(name)?.trim_end());
    Ok(())
}

fn list() -> Result<()> {
    for (name, text) in SHIPPED {
        let recipe = Recipe::parse(name, text, &[])?;
        say!("{name:<16} {}", recipe.description);
    }
    Ok(())
}

/// Kind `loss` is a value of `balancer.loss`, `optimiser` of `train.optimiser`, the others of
/// `balancer.gradient`.
fn list_balancers() -> Result<()> {
    say!("{:<12} {:<9} {:<52} {:<59} source", "name", "kind", "needs", "cost");
    for info in balancers() {
        let (name, kind) = (info.name, info.kind.name());
        let (needs, cost, source) = (info.needs, info.cost, info.source);
        say!("{name:<12} {kind:<9} {needs:<52} {cost:<59} {source}");
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
