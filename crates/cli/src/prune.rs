//! `polyptych prune`: a merged model without what no output depends on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{Cost, OpenRun, PruneReport, prune};

use crate::command::Subcommand;
use crate::output::say;

/// Merge a run and cut out what its closed gates leave unused
#[derive(Debug, Parser)]
#[command(
    name = "prune",
    after_help = "Examples:\n  polyptych prune runs/gated\n  polyptych prune runs/gated --out small --images 1"
)]
pub(crate) struct Prune {
    /// Folder of a run whose method has gates, such as interrogate
    run: PathBuf,
    /// Folder of the pruned model [default: RUN/pruned]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Images in the batch that is timed
    #[arg(long, default_value_t = PruneReport::IMAGES)]
    images: usize,
    /// Number of measured passes, after three warm-up passes
    #[arg(long, default_value_t = PruneReport::PASSES)]
    passes: usize,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Subcommand for Prune {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, flags.best, None)?;
        let out = flags.out.clone().unwrap_or_else(|| flags.run.join("pruned"));
        let report = prune(&run, &out, flags.images, flags.passes)?;
        if flags.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        show(&report, &out);
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints what pruning did, and where the pruned model lies.
pub(crate) fn show(report: &PruneReport, out: &Path) {
    for (task, difference) in &report.differences {
        say!("{task}: largest difference {difference} over {} images", report.probe_images);
    }
    say!("{} images, median of {} passes and quartiles", report.images, report.passes);
    say!("{:<7} {:>14} {:>24} {:>12}", "", "numbers", "multiply-adds per image", "ms");
    line("merged", &report.before);
    line("pruned", &report.after);
    say!("{}", out.display());
}

fn line(form: &str, cost: &Cost) {
    let Cost { numbers, multiply_adds, ms } = cost;
    let times = format!("{:.2} ({:.2} to {:.2})", ms.median, ms.low, ms.high);
    say!("{form:<7} {numbers:>14} {multiply_adds:>24} {times:>12}");
}
