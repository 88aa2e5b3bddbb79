//! `polyptych inspect`: parameters of a recipe's model, or of a run and the layers that its tasks took.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_engine::{OpenRun, ParameterSummary, Taken};
use serde_json::json;

use crate::command::Subcommand;
use crate::output::say;
use crate::{quantize, recipes};

/// Count parameters: total, trainable, stored; of a run, draw the layers that its tasks took
#[derive(Debug, Parser)]
#[command(
    name = "inspect",
    after_help = "Examples:\n  polyptych inspect\n  polyptych inspect runs/quickstart\n  polyptych inspect mtlora-swin-tiny-pascal --set adapter.r=64 --json"
)]
pub(crate) struct Inspect {
    #[command(flatten)]
    recipe: recipes::RecipeFlags,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Subcommand for Inspect {
    fn run(flags: &Self) -> Result<ExitCode> {
        if Path::new(&flags.recipe.recipe).join("recipe.toml").exists() {
            return of_run(flags);
        }
        let recipe = recipes::resolve(&flags.recipe)?;
        let summary = ParameterSummary::of_recipe(&recipe)?;
        match flags.json {
            true => say!("{}", serde_json::to_string_pretty(&summary)?),
            false => say!("{}", summary.to_string().trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn of_run(flags: &Inspect) -> Result<ExitCode> {
    let recipes::RecipeFlags { recipe: path, overrides, tasks } = &flags.recipe;
    if !overrides.is_empty() || !tasks.is_empty() {
        bail!("{path}: expected no --set and no --tasks with a run, found some");
    }
    let run = OpenRun::open(Path::new(path), false, Some("cpu"))?;
    let (summary, taken) = (ParameterSummary::of(&run.model), Taken::of(&run.model));
    if flags.json {
        let whole = json!({"parameters": summary, "taken": taken, "quantized": run.quantized});
        say!("{}", serde_json::to_string_pretty(&whole)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", summary.to_string().trim_end());
    if let Some(taken) = taken {
        say!("");
        say!("{}", taken.to_string().trim_end());
    }
    if let Some(report) = &run.quantized {
        say!("");
        quantize::show(report);
    }
    Ok(ExitCode::SUCCESS)
}
