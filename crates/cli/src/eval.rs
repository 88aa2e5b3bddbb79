//! `polyptych eval`: scores of a run or a merged model.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use polyptych_engine::{DataSets, OpenRun, evaluate};

use crate::command::Subcommand;
use crate::output::say;
use crate::table;

/// Measure a run or a merged model
#[derive(Debug, Parser)]
#[command(
    name = "eval",
    after_help = "Examples:\n  polyptych eval runs/quickstart\n  polyptych eval runs/quickstart --best --json\n  polyptych eval merged --manifest camvid.toml --root DIR --split test"
)]
pub(crate) struct Eval {
    /// Folder of a run or of a merged model
    run: PathBuf,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    device: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Also write the JSON to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Manifest of the data instead of the recipe's
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Folder of the data instead of the recipe's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Split of the data instead of the recipe's
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
}

impl Subcommand for Eval {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, flags.best, flags.device.as_deref())?;
        let recipe = run.recipe.clone().measured_on(
            flags.manifest.as_deref(),
            flags.root.as_deref(),
            flags.split.as_deref(),
        )?;
        let loader = DataSets::open_eval(&recipe)?;
        let baselines = run.baselines.as_ref().and_then(|b| b.of(&run.recipe.task_names()));
        let evaluation = evaluate(&run.model, &loader, baselines.as_deref(), |_| ())?;
        match flags.json {
            true => say!("{}", serde_json::to_string_pretty(&evaluation)?),
            false => {
                say!("{}", table::scores(&evaluation));
                table::classes(&evaluation).iter().for_each(|classes| say!("\n{classes}"));
            }
        }
        if let Some(out) = &flags.out {
            let json = serde_json::to_string_pretty(&evaluation)?;
            std::fs::write(out, json + "\n").with_context(|| out.display().to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
