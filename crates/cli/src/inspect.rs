//! `polyptych inspect`: parameters of a recipe's model.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::ParameterSummary;

use crate::command::Subcommand;
use crate::output::say;
use crate::recipes;

/// Count parameters: total, trainable, stored
#[derive(Debug, Parser)]
#[command(
    name = "inspect",
    after_help = "Examples:\n  polyptych inspect\n  polyptych inspect mtlora-swin-tiny-pascal --set adapter.r=64 --json"
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
        let recipe = recipes::resolve(&flags.recipe)?;
        let summary = ParameterSummary::of_recipe(&recipe)?;
        match flags.json {
            true => say!("{}", serde_json::to_string_pretty(&summary)?),
            false => say!("{}", summary.to_string().trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
