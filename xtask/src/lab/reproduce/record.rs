//! How far is a run, and does it belong to the recipe as it is now?
//!
//! `<run>.reproduce.json` lies beside the folder of the run, which `polyptych` wants empty.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::plan::{Plan, Run};
use crate::lab::machine::Git;

/// What a run was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// SHA-256 of the recipe.
    pub(crate) recipe: String,
    /// What `polyptych train` was given besides the recipe and the folder.
    pub(crate) arguments: Vec<String>,
    /// The checkout that trained it last.
    pub(crate) git: Git,
    /// Seconds of training and evaluation, over all attempts.
    pub(crate) wall_s: f64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is there, or nothing to go on from.
    New,
    /// There is a checkpoint to go on from.
    Interrupted,
    /// All steps are done and evaluated.
    Done,
}

impl Record {
    /// The record of `run` before its first attempt.
    pub(crate) fn new(plan: &Plan, run: &Run, git: Git) -> Self {
        Self { recipe: plan.digest.clone(), arguments: run.arguments.clone(), git, wall_s: 0.0 }
    }

    /// The record beside `run`, if there is one.
    pub(crate) fn read(run: &Run) -> Result<Option<Self>> {
        let path = path(run);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
    }

    /// Writes the record beside `run`.
    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        let path = path(run);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        write_whole(&path, text.as_bytes())
    }

    /// Whether the recipe as it is now makes the run so.
    pub(crate) fn belongs(&self, plan: &Plan, run: &Run) -> bool {
        self.recipe == plan.digest && self.arguments == run.arguments
    }
}

impl State {
    /// Looks at the folder of `run`.
    ///
    /// A folder that the recipe as it is now did not make is an error that names the folder.
    pub(crate) fn of(plan: &Plan, run: &Run) -> Result<Self> {
        if !run.folder.exists() {
            return Ok(Self::New);
        }
        let record = Record::read(run)?;
        if !record.is_some_and(|record| record.belongs(plan, run)) {
            bail!(
                "{}: expected a run of {} as it is now, found one of another recipe or with other \
                 arguments; remove the folder to train it again",
                run.folder.display(),
                plan.name
            );
        }
        progress(&run.folder)
    }
}

/// Writes a file as one step, so that a job cut short leaves none that is half written.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let aside = path.with_extension("part");
    std::fs::write(&aside, content).with_context(|| aside.display().to_string())?;
    std::fs::rename(&aside, path).with_context(|| path.display().to_string())
}

/// Removes a folder, where it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    std::fs::remove_dir_all(folder).with_context(|| folder.display().to_string())
}

fn path(run: &Run) -> PathBuf {
    let name = run.folder.file_name().unwrap_or_default().to_string_lossy();
    run.folder.with_file_name(format!("{name}.reproduce.json"))
}

fn progress(folder: &Path) -> Result<State> {
    let Some(last) = last_step(folder)? else { return Ok(State::New) };
    let done = last == steps(folder)? && folder.join("evaluation.json").exists();
    Ok(if done { State::Done } else { State::Interrupted })
}

/// Step of the last checkpoint.
fn last_step(folder: &Path) -> Result<Option<u64>> {
    let checkpoints = folder.join("checkpoints");
    if !checkpoints.exists() {
        return Ok(None);
    }
    let step = |entry: std::io::Result<std::fs::DirEntry>| -> Result<Option<u64>> {
        let name = entry?.file_name();
        Ok(name.to_str().and_then(|name| name.strip_prefix("step-")?.parse().ok()))
    };
    let entries = std::fs::read_dir(&checkpoints);
    let steps = entries.with_context(|| checkpoints.display().to_string())?.map(step);
    Ok(steps.collect::<Result<Vec<_>>>()?.into_iter().flatten().max())
}

/// Steps of the resolved recipe, which the row may have changed.
fn steps(folder: &Path) -> Result<u64> {
    let path = folder.join("recipe.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let recipe: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let steps = recipe.get("train").and_then(|train| train.get("steps")?.as_integer());
    let steps = steps.and_then(|steps| u64::try_from(steps).ok());
    steps.with_context(|| format!("{}: train.steps: expected a number", path.display()))
}
