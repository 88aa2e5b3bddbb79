//! `polyptych data pack`: a data set as tar shards of WebDataset.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{PackOptions, pack_data};

use super::bar::{bar, progress};
use crate::command::Subcommand;
use crate::output::say;

/// Write a data set as tar shards of WebDataset, with the manifest that reads them
#[derive(Debug, Parser)]
#[command(
    name = "pack",
    after_help = "Examples:\n  polyptych data pack datasets/camvid.toml data/camvid-shards --root DIR"
)]
pub(crate) struct Pack {
    /// The manifest, such as datasets/camvid.toml
    manifest: PathBuf,
    /// Folder of the shards, which must not be there
    out: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    follow_links: bool,
    /// Only this split; may be given several times
    #[arg(long = "split", value_name = "NAME")]
    splits: Vec<String>,
    /// Samples of a shard
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
}

impl Subcommand for Pack {
    fn run(flags: &Self) -> Result<ExitCode> {
        let bar = bar();
        let options = PackOptions { samples: flags.samples as usize, splits: flags.splits.clone() };
        let report = pack_data(
            &flags.manifest,
            flags.root.as_deref(),
            flags.follow_links,
            &flags.out,
            &options,
            &progress(&bar),
        )?;
        bar.finish_and_clear();
        for split in &report.splits {
            say!("{}: {} samples in {} shards", split.name, split.samples, split.shards);
        }
        say!("{}", report.manifest.display());
        Ok(ExitCode::SUCCESS)
    }
}
