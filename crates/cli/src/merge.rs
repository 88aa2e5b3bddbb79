//! `polyptych merge`: a plain transformer and what has to stay per task.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{OpenRun, merge};

use crate::command::Subcommand;
use crate::output::say;

/// Merge the adapters of a run into its backbone
#[derive(Debug, Parser)]
#[command(
    name = "merge",
    after_help = "Examples:\n  polyptych merge runs/quickstart\n  polyptych merge runs/quickstart --best --half --out merged"
)]
pub(crate) struct Merge {
    /// Folder of a run
    run: PathBuf,
    /// Folder of the merged model [default: RUN/merged]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Store the plain backbone in half precision
    #[arg(long)]
    half: bool,
}

impl Subcommand for Merge {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, flags.best, None)?;
        let out = flags.out.clone().unwrap_or_else(|| flags.run.join("merged"));
        let report = merge(&run, &out, flags.half)?;
        for (task, difference) in &report.differences {
            say!("{task}: largest difference {difference} over {} images", report.probe_images);
        }
        for (task, difference) in &report.in_own_precision {
            let precision = run.recipe.precision;
            say!("{task}: in {precision}, which rounds both models, {difference}");
        }
        say!("{} tensors merged, {} stay per task", report.merged, report.kept.len());
        say!("{}", out.display());
        Ok(ExitCode::SUCCESS)
    }
}
