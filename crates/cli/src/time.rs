//! `polyptych time`: a forward pass before and after merging.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{OpenRun, Spread, time};

use crate::command::Subcommand;
use crate::output::say;

/// Time a forward pass of a run before and after merging
#[derive(Debug, Parser)]
#[command(name = "time", after_help = "Examples:\n  polyptych time runs/quickstart --images 8")]
pub(crate) struct Time {
    /// Folder of a run
    run: PathBuf,
    /// Images in the batch
    #[arg(long, default_value_t = 8)]
    images: usize,
    /// Number of measured passes, after three warm-up passes
    #[arg(long, default_value_t = 31)]
    passes: usize,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    device: Option<String>,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Subcommand for Time {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, false, flags.device.as_deref())?;
        let timing = time(&run, flags.images, flags.passes)?;
        if flags.json {
            say!("{}", serde_json::to_string_pretty(&timing)?);
            return Ok(ExitCode::SUCCESS);
        }
        let line = |form: &str, ms: Spread| {
            say!("{form:<8} {:.2} ms ({:.2} to {:.2})", ms.median, ms.low, ms.high);
        };
        say!("{} images, median of {} passes and quartiles", timing.images, timing.passes);
        line("trained", timing.adapted_ms);
        match timing.merged_ms {
            Some(ms) => line("merged", ms),
            None => say!("merged   none: {}", run.model.unmergeable().unwrap_or_default()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
