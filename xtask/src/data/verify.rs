//! `cargo xtask data verify`: the files against what came, then what they hold.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

use super::home::Home;
use super::manifest::Manifest;
use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::setup::record::Depth;
use crate::workspace;

/// Compare a data set with what was recorded when it came, and tell what it holds
#[derive(Parser)]
#[command(name = "verify")]
pub(crate) struct Verify {
    /// Name of a manifest in `datasets/`
    pub(crate) name: String,
    /// Folder that was filled, `data/<name>` by default
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Compare files alone, without reading images and labels
    #[arg(long)]
    pub(crate) files_only: bool,
}

impl Subcommand for Verify {
    fn run(flags: &Self) -> Result<ExitCode> {
        let root = workspace::root();
        let manifest = Manifest::named(&root.join("datasets"), &flags.name)?;
        let home = Home::new(&root, &manifest.name, flags.into.as_deref())?;
        let checked = home.check(Depth::Hashes);
        let remedy = || {
            format!(
                "{} is not whole; run: cargo xtask data fetch {}",
                home.folder.display(),
                manifest.name
            )
        };
        let (files, bytes) = checked.with_context(remedy)?;
        println!("{}: {files} files, {bytes} bytes, all as recorded", home.folder.display());
        if flags.files_only {
            return Ok(ExitCode::SUCCESS);
        }
        ensure::libtorch()?;
        process::become_child(&mut facts(&root, &manifest.name, &home.folder))
    }
}

/// The program that reads every label: counts, sizes, ranges, and which copy it is.
fn facts(root: &Path, name: &str, folder: &Path) -> Command {
    let mut command = workspace::cargo_command();
    command.args(["run", "--release", "--package", "polyptych-cli", "--bin", "polyptych", "--"]);
    command.args(["data", "facts"]).arg(root.join("datasets").join(format!("{name}.toml")));
    command.arg("--root").arg(folder);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_those_of_the_folder_that_was_compared() {
        let shown = process::shown(&facts(Path::new("r"), "nyud", Path::new("r/data/nyud")));
        let end = "-- data facts r/datasets/nyud.toml --root r/data/nyud";
        assert!(shown.ends_with(end), "{shown}");
    }
}
