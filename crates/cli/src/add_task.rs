//! `polyptych add-task`: a trained run and the tasks of a recipe that it lacks, as a new run.
//!
//! The same as `polyptych train` of a recipe with `[extend]`, which the new run's folder keeps.

use std::process::ExitCode;

use anyhow::Result;

use crate::flags::{AddTaskFlags, RecipeFlags};
use crate::{interrupt, recipes, train};

pub(crate) fn run(flags: &AddTaskFlags) -> Result<ExitCode> {
    let stop = interrupt::flag()?;
    let (recipe, overrides) = (flags.recipe.clone(), flags.overrides.clone());
    let (recipe, baselines) = recipes::open(&RecipeFlags { recipe, overrides, tasks: Vec::new() })?;
    let recipe = recipe.extending(&flags.run, flags.best)?;
    train::start(recipe, baselines.as_ref(), flags.out.clone(), &stop)
}
