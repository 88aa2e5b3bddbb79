//! `cargo xtask rank`: the bars of a comparison anew, from its data.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use super::ranked;
use crate::command::Subcommand;
use crate::lab::page;

/// Draw the bars of a comparison anew from its data
#[derive(Parser)]
#[command(name = "rank")]
pub(crate) struct Rank {
    /// What `reproduce` has written, such as docs/results/balancers.json
    data: PathBuf,
}

impl Subcommand for Rank {
    fn run(flags: &Self) -> Result<ExitCode> {
        let named = || flags.data.display().to_string();
        let text = std::fs::read_to_string(&flags.data).with_context(named)?;
        let data = serde_json::from_str(&text).with_context(named)?;
        let plot = ranked::draw(&data).with_context(named)?;
        let plot = plot.with_context(|| format!("{}: expected two methods to compare", named()))?;
        let picture = flags.data.with_extension("ranked.svg");
        page::write(&picture, &plot)?;
        println!("{}", picture.display());
        Ok(ExitCode::SUCCESS)
    }
}
