//! The command, and the way to the build of `xtask` that has mdBook.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::command::Subcommand;

/// Build the documentation as a site below target/site, and check its links
#[derive(Parser)]
#[command(name = "docs")]
pub(crate) struct Docs {
    /// Open the site in a browser
    #[arg(long, conflicts_with = "check")]
    pub(crate) open: bool,
    /// Only check that the site builds and that its links lead somewhere; keep nothing
    #[arg(long)]
    pub(crate) check: bool,
}

impl Subcommand for Docs {
    #[cfg(feature = "book")]
    fn run(flags: &Self) -> Result<ExitCode> {
        super::site::run(flags.check, flags.open)
    }

    #[cfg(not(feature = "book"))]
    fn run(flags: &Self) -> Result<ExitCode> {
        let mut command = crate::workspace::cargo_command();
        command.args(["run", "--quiet", "--package", "xtask", "--features", "book", "--", "docs"]);
        command.args(flags.open.then_some("--open"));
        command.args(flags.check.then_some("--check"));
        crate::process::become_child(command.current_dir(crate::workspace::root()))
    }
}
