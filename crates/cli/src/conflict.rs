//! `polyptych conflict`: how much the tasks of a run disagree.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use polyptych_engine::{MeanConflict, heat_map};

use crate::command::Subcommand;
use crate::output::say;

/// Draw how much the gradients of the tasks conflict, as a heat map of mean cosines
#[derive(Debug, Parser)]
#[command(
    name = "conflict",
    after_help = "Examples:\n  polyptych conflict runs/quickstart --out conflict.png"
)]
pub(crate) struct Conflict {
    /// Folder of a run whose recipe has train.conflict_every
    run: PathBuf,
    /// The picture, a PNG file
    #[arg(long, value_name = "FILE", default_value = "conflict.png")]
    out: PathBuf,
}

impl Subcommand for Conflict {
    fn run(flags: &Self) -> Result<ExitCode> {
        let mean = MeanConflict::of_run(&flags.run)?;
        heat_map(&mean).save(&flags.out).with_context(|| flags.out.display().to_string())?;
        say!("{}", flags.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
