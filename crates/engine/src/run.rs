//! The folder of a run.
//!
//! | file | content |
//! |---|---|
//! | `recipe.toml` | the resolved recipe |
//! | `tasks.json` | name, kind, classes and colours of every task |
//! | `baselines.json` | what delta-m compares with, where it is recorded |
//! | `metrics.jsonl`, `metrics.csv` | one line per step and per evaluation |
//! | `events.out.tfevents.*` | the same for TensorBoard, with pictures of samples |
//! | `provenance.json` | the commands, versions and data that made the run |
//! | `checkpoints/` | the newest checkpoints and the best one |
//! | `evaluation.json` | the last evaluation |
//! | `dump/` | what a step started from that ended the run by numbers that are not finite |
//! | `run.lock` | held by the trainer at work |
//! | `stages/` | of a run in stages: its recipe, what is done, and the run of every stage but the last, which is the run itself |
//!
//! A merged model is a folder too: `recipe.toml`, `tasks.json`, `baselines.json`, `merge.json`,
//! `model.safetensors` and, for timm, `backbone.safetensors`, or `backbone.<task>.safetensors` for
//! every task where each has a backbone of its own. A quantised model has `quantize.json` beside
//! them, and no backbone for timm.

pub(crate) mod checkpoint;
pub(crate) mod compose;
pub(crate) mod data;
pub(crate) mod data_record;
pub(crate) mod evaluate;
pub(crate) mod extend;
pub(crate) mod hub;
mod observed;
pub(crate) mod open_run;
mod overlap;
pub(crate) mod peak;
pub(crate) mod predict;
pub(crate) mod quantized;
pub(crate) mod upload;

use std::fs::File;
use std::path::{Path, PathBuf};

use polyptych_data::TaskSpec;
use polyptych_formats::file;

use crate::error::io;
use crate::recipe::runs::STAGES;
use crate::run::checkpoint::{read_json, sha256};
use crate::training::log::to_json;
use crate::{Baselines, Change, Checkpoint, Error, Recipe, Result};

pub(crate) const RECIPE: &str = "recipe.toml";
pub(crate) const TASKS: &str = "tasks.json";
pub(crate) const BASELINES: &str = "baselines.json";
/// The recipe of a run in stages.
pub(crate) const STAGED: &str = "stages/stages.toml";
pub(crate) const MERGE: &str = "merge.json";
const LOCK: &str = "run.lock";
pub(crate) const MERGED_MODEL: &str = "model.safetensors";

/// The folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new folder with everything that describes the run.
    ///
    /// # Errors
    /// A folder that holds a run or anything else already, or that cannot be written.
    pub fn create(
        path: &Path,
        recipe: &Recipe,
        specs: &[TaskSpec],
        baselines: Option<&Baselines>,
    ) -> Result<Self> {
        if path.join(STAGED).exists() && !path.join(RECIPE).exists() {
            // The last stage, in the folder of the whole run; the recipe, which makes it one, comes last.
            let folder = Self { path: path.into() };
            folder.describe(recipe, specs, baselines)?;
            return Ok(folder);
        }
        require_new(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let aside = Self { path: name.into() };
        aside.discard();
        let described = aside.describe(recipe, specs, baselines);
        let placed = described.and_then(|()| place(&aside.path, path));
        placed.inspect_err(|_| aside.discard())?;
        Ok(Self { path: path.into() })
    }

    fn describe(
        &self,
        recipe: &Recipe,
        specs: &[TaskSpec],
        baselines: Option<&Baselines>,
    ) -> Result<()> {
        std::fs::create_dir_all(self.checkpoints()).map_err(io(&self.path))?;
        let write =
            |name: &str, text: &str| file::write_aside(&self.path.join(name), text.as_bytes());
        write(TASKS, &to_json(&specs))?;
        if let Some(baselines) = baselines {
            write(BASELINES, &to_json(baselines))?;
        }
        Ok(write(RECIPE, &recipe.to_toml()?)?)
    }

    /// Removes the folder of a run that failed before there was anything to keep.
    pub(crate) fn discard(&self) {
        // The cause is on its way up; a folder that cannot be removed adds nothing to it.
        if !self.path.join(STAGED).exists() {
            let _ = std::fs::remove_dir_all(&self.path);
            return;
        }
        // Other stages are finished.
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = match path.is_dir() {
                _ if entry.file_name() == STAGES => Ok(()),
                true => std::fs::remove_dir_all(path),
                false => std::fs::remove_file(path),
            };
        }
    }

    /// An existing run.
    ///
    /// # Errors
    /// A folder without a recipe.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join(RECIPE).exists() {
            let reason = format!("expected the folder of a run, found no {RECIPE}");
            return Err(Error::Run { path: path.into(), reason });
        }
        Ok(Self { path: path.into() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved recipe and its text.
    ///
    /// # Errors
    /// A recipe that cannot be read.
    pub fn recipe(&self) -> Result<(Recipe, String)> {
        let path = self.path.join(RECIPE);
        let text = std::fs::read_to_string(&path).map_err(io(&path))?;
        let recipe = Recipe::parse(&path.display().to_string(), &text, &[])?;
        Ok((recipe, text))
    }

    /// Writes another recipe in the place of the run's.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn rewrite_recipe(&self, text: &str) -> Result<()> {
        Ok(file::write_aside(&self.path.join(RECIPE), text.as_bytes())?)
    }

    /// The tasks.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn specs(&self) -> Result<Vec<TaskSpec>> {
        read_json(&self.path.join(TASKS))
    }

    /// The recorded baselines, if there are any.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn baselines(&self) -> Result<Option<Baselines>> {
        let path = self.path.join(BASELINES);
        path.exists().then(|| Baselines::open(&path)).transpose()
    }

    /// Whether anything was saved.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn has_checkpoint(&self) -> Result<bool> {
        Checkpoint::any(&self.checkpoints())
    }

    /// Keeps other trainers out until the file is dropped.
    ///
    /// # Errors
    /// Another trainer at work, or a folder that cannot be written.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.path)
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }
}

/// Keeps other trainers out of `folder` until the file is dropped.
///
/// # Errors
/// Another trainer at work, or a folder that cannot be written.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(io(&path))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(fs4::TryLockError::WouldBlock) => {
            let reason = "expected no other trainer in this folder, found one at work".into();
            Err(Error::Run { path: folder.into(), reason })
        }
        Err(fs4::TryLockError::Error(source)) => Err(io(&path)(source)),
    }
}

/// Gives a folder that was written aside its name, where nothing or an empty folder is.
pub(crate) fn place(aside: &Path, path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_dir(path).map_err(io(path))?;
    }
    std::fs::rename(aside, path).map_err(io(path))
}

/// Refuses a folder that holds anything: a run that fails removes its folder with all that is in it.
pub(crate) fn require_new(path: &Path) -> Result<()> {
    let refused = |reason: &str| Err(Error::Run { path: path.into(), reason: reason.into() });
    if path.join(RECIPE).exists() {
        return refused(
            "expected a new folder, found a run; continue it with --resume, or name another folder with \
             --out",
        );
    }
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refused("expected a new or an empty folder, found one that holds other files"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io(path)(e)),
    }
}

/// Refuses a checkpoint that was written under another recipe than `text`, but for what may change.
pub(crate) fn same_recipe(path: &Path, checkpoint: &Checkpoint, text: &str) -> Result<()> {
    let known = &checkpoint.state.recipe;
    // Earlier versions stored the SHA-256 alone.
    if known == text || *known == sha256(text.as_bytes()) {
        return Ok(());
    }
    let Ok(old) = Recipe::parse("checkpoint", known, &[]) else {
        let found = sha256(text.as_bytes());
        let reason = format!(
            "expected {RECIPE} as it was when the checkpoint was saved, with SHA-256 {known}, found \
             one with {found}"
        );
        return Err(Error::Run { path: path.into(), reason });
    };
    let new = Recipe::parse(&path.join(RECIPE).display().to_string(), text, &[])?;
    allowed(path, &old.changes(&new))
}

/// Refuses changes that would make another run of it, with both values of each.
pub(crate) fn allowed(path: &Path, changes: &[Change]) -> Result<()> {
    let refused = changes.iter().filter(|change| !change.is_allowed());
    let refused: Vec<String> = refused
        .map(|Change { key, old, new, .. }| format!("{key}: expected {old}, found {new}"))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "these settings differ from the run's: {}; to start a new run from its weights, train a \
         recipe with backbone.weights={}",
        refused.join("; "),
        path.display()
    );
    Err(Error::Run { path: path.into(), reason })
}
