//! What is served, and what is asked about.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::flags::Load;
use crate::lab::program::Program;
use crate::process;
use crate::workspace;

/// Photographs that are drawn where none are named.
const DRAWN: &str = "16";

/// A model and photographs.
pub(super) struct Subject {
    pub(super) run: PathBuf,
    pub(super) photographs: PathBuf,
}

impl Subject {
    /// Those of the flags; others are made in `folder`, unless they are there from before.
    pub(super) fn of(flags: &Load, program: &Program, folder: &Path) -> Result<Self> {
        let run = flags.run.clone().map_or_else(|| quickstart(program, folder), Ok)?;
        let photographs = flags.photographs.clone().map_or_else(|| scenes(folder), Ok)?;
        Ok(Self { run, photographs })
    }
}

/// The quickstart, merged.
fn quickstart(program: &Program, folder: &Path) -> Result<PathBuf> {
    let (run, merged) = (folder.join("quickstart"), folder.join("merged"));
    if merged.exists() {
        return Ok(merged);
    }
    if run.exists() {
        std::fs::remove_dir_all(&run).with_context(|| run.display().to_string())?;
    }
    let mut train = program.command("train");
    train.args(["quickstart", "--plain", "--set", "compare=[]", "--out"]).arg(&run);
    process::step(&mut train)?;
    process::step(program.command("merge").arg(&run).arg("--out").arg(&merged))?;
    Ok(merged)
}

fn scenes(folder: &Path) -> Result<PathBuf> {
    let photographs = folder.join("photographs");
    let mut draw = workspace::cargo_command();
    draw.args(["run", "--release", "--package", "polyptych-synthetic", "--example", "photographs"]);
    process::step(draw.arg("--").arg(&photographs).arg(DRAWN))?;
    Ok(photographs)
}
