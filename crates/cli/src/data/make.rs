//! `polyptych data make`: a synthetic copy of a published data set.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::write_copy;

use crate::command::Subcommand;
use crate::output::say;

/// Write a small synthetic copy of a published data set, in the layout of its archive
#[derive(Debug, Parser)]
#[command(
    name = "make",
    after_help = "Examples:\n  polyptych data make pascal_context data/pascal_context"
)]
pub(crate) struct Make {
    /// Name of a manifest in datasets/, such as pascal_context
    name: String,
    /// The folder to fill, empty or not there
    folder: PathBuf,
}

impl Subcommand for Make {
    fn run(flags: &Self) -> Result<ExitCode> {
        let written = write_copy(&flags.name, &flags.folder)?;
        for (split, images) in &written.images {
            let labels = written.labels.iter().filter(|((known, _), _)| known == split);
            let labels = labels.map(|((_, task), (count, _))| format!("{task} {count}"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            say!("{split}: {images} images; labels: {labels}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
