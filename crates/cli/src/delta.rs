//! `polyptych delta`: every task as a file of what its backbone differs by.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{OpenRun, save_deltas};

use crate::command::Subcommand;
use crate::output::say;

/// Store what the tasks of a run differ by from the frozen backbone
#[derive(Debug, Parser)]
#[command(
    name = "delta",
    after_help = "Examples:\n  polyptych delta runs/pruned --out tasks\n  polyptych merge tasks/delta.depth.safetensors --out depth.safetensors"
)]
pub(crate) struct Delta {
    /// Folder of a run whose method is diff_pruning or taps
    run: PathBuf,
    /// Folder of the files [default: RUN/deltas]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

impl Subcommand for Delta {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, flags.best, None)?;
        let out = flags.out.clone().unwrap_or_else(|| flags.run.join("deltas"));
        let report = save_deltas(&run, &out)?;
        if flags.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        for file in &report.files {
            let numbers = 100.0 * file.numbers as f64 / report.backbone as f64;
            let bytes = 100.0 * file.bytes as f64 / report.backbone_bytes as f64;
            say!(
                "{}: {} tensors, {} numbers ({numbers:.2} % of the backbone), {} bytes ({bytes:.2} %)",
                file.file.display(),
                file.tensors,
                file.numbers,
                file.bytes
            );
        }
        say!("backbone: {} numbers, {} bytes", report.backbone, report.backbone_bytes);
        Ok(ExitCode::SUCCESS)
    }
}
