//! `polyptych data check`: all that is wrong with a data set.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::validate_data;

use super::bar::{bar, progress};
use super::messages;
use crate::command::Subcommand;
use crate::output::say;

/// Read every image and label and report every problem; fails if there is one
#[derive(Debug, Parser)]
#[command(
    name = "check",
    after_help = "Examples:\n  polyptych data check datasets/camvid.toml --root DIR"
)]
pub(crate) struct Check {
    /// The manifest, such as datasets/camvid.toml
    manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    follow_links: bool,
    /// Only this split; may be given several times
    #[arg(long = "split", value_name = "NAME")]
    splits: Vec<String>,
}

impl Subcommand for Check {
    fn run(flags: &Self) -> Result<ExitCode> {
        let bar = bar();
        let report = validate_data(
            &flags.manifest,
            flags.root.as_deref(),
            flags.follow_links,
            &flags.splits,
            &progress(&bar),
        )?;
        bar.finish_and_clear();
        messages::marks(&report).iter().for_each(|line| say!("{line}"));
        for problem in &report.problems {
            say!("{}", messages::line(problem));
        }
        messages::labels(&report).iter().for_each(|line| say!("{line}"));
        messages::skipped(&report).iter().for_each(|line| say!("{line}"));
        say!("{}", messages::summary(&report));
        let good = report.problems.is_empty();
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
