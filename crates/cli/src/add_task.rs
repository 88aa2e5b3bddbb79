//! `polyptych add-task`: a trained run and the tasks of a recipe that it lacks, as a new run.
//!
//! The same as `polyptych train` of a recipe with `[extend]`, which the new run's folder keeps.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::command::Subcommand;
use crate::recipes::RecipeFlags;
use crate::{interrupt, recipes, train};

/// Add the new tasks of a recipe to a trained run; its existing tasks do not change
#[derive(Debug, Parser)]
#[command(
    name = "add-task",
    after_help = "Examples:\n  polyptych add-task runs/vmt-scenes vmt-scenes-add"
)]
pub(crate) struct AddTask {
    /// Folder of the trained run, whose method is vmt_adapter or rcm
    run: PathBuf,
    /// A shipped recipe's name, or a TOML file, with all tasks of the run and the new ones
    recipe: String,
    /// Override a field: --set train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Take the run's best checkpoint instead of its last one
    #[arg(long)]
    best: bool,
    /// Folder of the new run [default: runs/NAME after the recipe, with a number if it is taken]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Subcommand for AddTask {
    fn run(flags: &Self) -> Result<ExitCode> {
        let stop = interrupt::flag()?;
        let (recipe, overrides) = (flags.recipe.clone(), flags.overrides.clone());
        let (recipe, baselines) =
            recipes::open(&RecipeFlags { recipe, overrides, tasks: Vec::new() })?;
        let recipe = recipe.extending(&flags.run, flags.best)?;
        train::start(recipe, baselines.as_ref(), flags.out.clone(), &stop)
    }
}
