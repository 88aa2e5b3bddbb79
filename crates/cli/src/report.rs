//! `polyptych report`: one HTML page of a run, or of several side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use polyptych_engine::{ReportOptions, report};

use crate::command::Subcommand;
use crate::output::{note, say};

/// Write one HTML page of a run, or of several side by side
#[derive(Debug, Parser)]
#[command(
    name = "report",
    after_help = "Examples:\n  polyptych report runs/quickstart --open\n  polyptych report runs/low runs/high --out rates.html"
)]
pub(crate) struct Report {
    /// Folders of runs
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page [default: RUN/report.html; report.html here for several runs]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    /// Number of samples to search for the best and worst of each task; 0 shows none and needs no
    /// data
    #[arg(long, value_name = "N", default_value_t = 100)]
    samples: usize,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    device: Option<String>,
}

impl Subcommand for Report {
    fn run(flags: &Self) -> Result<ExitCode> {
        let options = ReportOptions { samples: flags.samples, device: flags.device.clone() };
        let page = report(&flags.runs, &options)?;
        page.notes.iter().for_each(|line| note!("{line}"));
        let out = flags.out.clone().unwrap_or_else(|| default_place(&flags.runs));
        std::fs::write(&out, page.html).with_context(|| out.display().to_string())?;
        say!("{}", out.display());
        if flags.open {
            open::that(&out)
                .with_context(|| format!("{}: found no program that opens it", out.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// In the folder of a single run; here for several.
fn default_place(runs: &[PathBuf]) -> PathBuf {
    match runs {
        [only] => only.join("report.html"),
        _ => Path::new("report.html").into(),
    }
}
