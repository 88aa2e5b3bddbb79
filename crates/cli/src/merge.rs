//! `polyptych merge`: a plain transformer and what has to stay per task.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_engine::{OpenRun, merge, merge_delta};

use crate::command::Subcommand;
use crate::output::say;

/// Merge the adapters of a run into its backbone
#[derive(Debug, Parser)]
#[command(
    name = "merge",
    after_help = "Examples:\n  polyptych merge runs/quickstart\n  polyptych merge runs/quickstart --best --half --out merged"
)]
pub(crate) struct Merge {
    /// Folder of a run, or a file of `polyptych delta`
    run: PathBuf,
    /// Folder of the merged model [default: RUN/merged]; for a file of `polyptych delta` the
    /// checkpoint [default: beside it, as .merged.safetensors]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// The backbone that a file of `polyptych delta` belongs to, where it is no longer what the
    /// file names
    #[arg(long, value_name = "WEIGHTS")]
    weights: Option<String>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Store the plain backbone in half precision
    #[arg(long)]
    half: bool,
}

impl Subcommand for Merge {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.run.is_file() {
            return one_file(flags);
        }
        if flags.weights.is_some() {
            bail!("--weights: expected none with a run, which contains its backbone, found some");
        }
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

/// An ordinary checkpoint of a task's difference and its backbone.
fn one_file(flags: &Merge) -> Result<ExitCode> {
    if flags.best || flags.half {
        bail!("--best and --half: expected neither beside a file of `polyptych delta`, found one");
    }
    let beside = || flags.run.with_extension("merged.safetensors");
    let out = flags.out.clone().unwrap_or_else(beside);
    let changed = merge_delta(&flags.run, flags.weights.as_deref(), &out)?;
    say!("{changed} tensors changed");
    say!("{}", out.display());
    Ok(ExitCode::SUCCESS)
}
