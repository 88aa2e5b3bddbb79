//! `polyptych recipe`: what ships with the program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::Recipe;

use crate::command::Subcommand;
use crate::output::say;
use crate::propose;
use crate::recipes::{self, SHIPPED};
use crate::reference::{self, SchemaKind};

/// List and explain recipes, their keys and their parts
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
    /// Methods that adapt a backbone: the value of adapter.method
    Methods,
    /// Heads: the value of tasks.NAME.head.name
    Heads,
    /// Losses of tasks: the value of tasks.NAME.loss.name
    Losses,
    /// Data sources: the value of data.train.N.dataset
    Sources,
    /// Backbones by timm's names: the value of backbone.name
    Backbones,
    /// Names of balancers, what each needs and costs, and its paper
    Balancers,
    /// What evaluation prints for each kind of task, and how it is defined
    Metrics,
    /// Say what a key of a recipe or a manifest means, its type and its default
    #[command(
        after_help = "Examples:\n  polyptych recipe explain train.lr\n  polyptych recipe explain adapter.r\n  polyptych recipe explain allow_void"
    )]
    Explain {
        /// Path of the key, or the end of it
        key: String,
    },
    /// Print a JSON Schema, by which editors complete and check TOML
    #[command(
        after_help = "Examples:\n  polyptych recipe schema > recipe.schema.json\n  polyptych recipe schema manifest > manifest.schema.json"
    )]
    Schema {
        /// What the schema is of
        #[arg(value_enum, default_value = "recipe")]
        of: SchemaKind,
    },
    /// Print a recipe
    Show {
        /// Name of a shipped recipe
        name: String,
    },
    /// Write a whole recipe for your data set, and say what was chosen and why
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
            Command::Methods => reference::list("adapter method"),
            Command::Heads => reference::list("head"),
            Command::Losses => reference::list("loss"),
            Command::Sources => reference::list("data source"),
            Command::Backbones => reference::list_backbones(),
            Command::Balancers => reference::list_balancers(),
            Command::Metrics => reference::list_metrics(),
            Command::Explain { key } => reference::explain(key),
            Command::Schema { of } => reference::schema(*of),
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
    let width = SHIPPED.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, text) in SHIPPED {
        let recipe = Recipe::parse(name, text, &[])?;
        say!("{name:<width$}  {}", recipe.description);
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
