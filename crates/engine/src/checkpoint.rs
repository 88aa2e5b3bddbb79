//! What a run needs to go on: weights, optimiser state, position, best so far.
//!
//! A checkpoint is a folder that is written aside and renamed; `index.json` names the last and the
//! best one and is replaced as one step. Every file's SHA-256 stands in `state.json`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use polyptych_metrics::Baseline;
use polyptych_tensor::{Tensors, file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::io;
use crate::log::to_json;
use crate::{Error, Peak, Result};

const MODEL: &str = "model.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
const MEMORY: &str = "memory.safetensors";
const STATE: &str = "state.json";
const INDEX: &str = "index.json";

/// Everything with memory, apart from tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps skipped in a row because a number was not finite.
    pub(crate) skipped: u64,
    /// Selection score of the best evaluation, and its step.
    pub(crate) best: Option<(f64, u64)>,
    /// The best headline of every task.
    pub(crate) peaks: BTreeMap<String, Peak>,
    /// Headlines of the first evaluation, which selection compares with without baselines.
    pub(crate) reference: Vec<Baseline>,
    /// SHA-256 of the resolved recipe.
    pub(crate) recipe: String,
    /// SHA-256 of the other files.
    pub(crate) files: BTreeMap<String, String>,
}

/// A checkpoint on disk.
#[derive(Debug)]
pub struct Checkpoint {
    /// All parameters and buffers.
    pub model: Tensors,
    pub(crate) optimiser: Tensors,
    /// What else has memory: the feature bank and running losses of the quality-retaining loss, or
    /// the balancer; a recipe has one of them at most.
    pub(crate) memory: Tensors,
    pub(crate) state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    last: Option<String>,
    best: Option<String>,
}

impl Checkpoint {
    /// Reads the last checkpoint below `dir`, or the best one.
    ///
    /// # Errors
    /// No checkpoint, or one whose files are not those that were written.
    pub fn open(dir: &Path, best: bool) -> Result<Self> {
        let index = read_index(dir)?;
        let name = if best { index.best.or(index.last) } else { index.last };
        let none =
            || Error::Run { path: dir.into(), reason: "expected a checkpoint, found none".into() };
        let folder = dir.join(name.ok_or_else(none)?);
        let state = read_state(&folder)?;
        for (name, expected) in &state.files {
            let path = folder.join(name);
            let found = sha256(&std::fs::read(&path).map_err(io(&path))?);
            if found != *expected {
                let reason = format!("expected SHA-256 {expected}, found {found}");
                return Err(Error::Run { path, reason });
            }
        }
        let model = file::load(&folder.join(MODEL))?.tensors;
        let optimiser = file::load(&folder.join(OPTIMISER))?.tensors;
        let memory = file::load(&folder.join(MEMORY))?.tensors;
        Ok(Self { model, optimiser, memory, state })
    }

    /// Writes the checkpoint below `dir` and makes it the last one, and the best one if `best`;
    /// checkpoints that are neither are removed.
    ///
    /// # Errors
    /// Whatever the file system says; earlier checkpoints stay valid then.
    pub(crate) fn save(mut self, dir: &Path, best: bool) -> Result<()> {
        let name = format!("step-{:08}", self.state.step);
        let (folder, aside) = (dir.join(&name), dir.join(format!(".{name}.part")));
        remove(&aside)?;
        std::fs::create_dir_all(&aside).map_err(io(&aside))?;
        let written = self.write(&aside);
        if written.is_err() {
            // The cause is on its way up; what cannot be removed is removed by the next attempt.
            let _ = remove(&aside);
        }
        written?;
        remove(&folder)?;
        std::fs::rename(&aside, &folder).map_err(io(&folder))?;
        let mut index = read_index(dir).unwrap_or_default();
        index.last = Some(name.clone());
        if best {
            index.best = Some(name);
        }
        file::write_aside(&dir.join(INDEX), to_json(&index).as_bytes())?;
        retire(dir, &index)
    }

    fn write(&mut self, folder: &Path) -> Result<()> {
        let files = [(MODEL, &self.model), (OPTIMISER, &self.optimiser), (MEMORY, &self.memory)];
        for (name, tensors) in files {
            let path = folder.join(name);
            file::save(&path, tensors, HashMap::from([("format".into(), "pt".into())]))?;
            let digest = sha256(&std::fs::read(&path).map_err(io(&path))?);
            self.state.files.insert(name.into(), digest);
        }
        Ok(file::write_aside(&folder.join(STATE), to_json(&self.state).as_bytes())?)
    }
}

/// Hexadecimal SHA-256.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_index(dir: &Path) -> Result<Index> {
    let path = dir.join(INDEX);
    if !path.exists() {
        return Ok(Index::default());
    }
    read_json(&path)
}

fn read_state(folder: &Path) -> Result<State> {
    read_json(&folder.join(STATE))
}

/// Reads one of our own JSON files.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(io(path))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::Run { path: path.into(), reason: e.to_string() })
}

fn retire(dir: &Path, index: &Index) -> Result<()> {
    let entries = std::fs::read_dir(dir).map_err(io(dir))?;
    let kept = [&index.last, &index.best];
    for entry in entries {
        let path: PathBuf = entry.map_err(io(dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let ours = name.as_ref().is_some_and(|name| name.starts_with("step-"));
        if ours && !kept.iter().any(|k| **k == name) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => std::fs::remove_dir_all(folder).map_err(io(folder)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polyptych_tensor::Tensor;

    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensors = |value: f32| Tensors::from([("w".to_owned(), Tensor::from_slice(&[value]))]);
        let (model, optimiser) = (tensors(step as f32), tensors(-1.0));
        let memory = Tensors::new();
        Checkpoint { model, optimiser, memory, state: State { step, ..State::default() } }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn refusal(dir: &Path) -> String {
        Checkpoint::open(dir, false).unwrap_err().to_string()
    }

    #[test]
    fn the_last_and_the_best_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for (step, best) in [(1, true), (2, true), (3, false), (4, false)] {
            checkpoint(step).save(dir, best).unwrap();
        }
        assert_eq!(names(dir), ["index.json", "step-00000002", "step-00000004"]);
        let (last, best) =
            (Checkpoint::open(dir, false).unwrap(), Checkpoint::open(dir, true).unwrap());
        assert_eq!((last.state.step, best.state.step), (4, 2));
        assert_eq!(last.model["w"].double_value(&[0]), 4.0);
        assert_eq!(last.optimiser["w"].double_value(&[0]), -1.0);
    }

    #[test]
    fn the_best_is_the_last_where_nothing_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(7).save(folder.path(), false).unwrap();
        assert_eq!(Checkpoint::open(folder.path(), true).unwrap().state.step, 7);
    }

    #[test]
    fn the_same_step_is_saved_twice() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(5).save(folder.path(), false).unwrap();
        checkpoint(5).save(folder.path(), true).unwrap();
        assert_eq!(names(folder.path()), ["index.json", "step-00000005"]);
    }

    #[test]
    fn what_was_not_written_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert!(refusal(dir).ends_with("expected a checkpoint, found none"));
        checkpoint(1).save(dir, true).unwrap();
        let path = dir.join("step-00000001").join(MODEL);
        let content = std::fs::read(&path).unwrap();
        std::fs::write(&path, &content[..content.len() - 1]).unwrap();
        let message = refusal(dir);
        let expected = format!("{}: expected SHA-256 {}", path.display(), sha256(&content));
        assert!(message.starts_with(&expected), "{message}");
        std::fs::remove_file(&path).unwrap();
        assert!(refusal(dir).starts_with(&format!("{}: ", path.display())));
        let state = dir.join("step-00000001").join(STATE);
        std::fs::write(&state, "{\"stepz\": 1}").unwrap();
        let message = refusal(dir);
        assert!(message.contains("state.json: unknown field `stepz`"), "{message}");
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_leaves_the_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        checkpoint(1).save(dir, true).unwrap();
        // A file where the folder should be made.
        std::fs::write(dir.join(".step-00000002.part"), "in the way").unwrap();
        let message = checkpoint(2).save(dir, true).unwrap_err().to_string();
        assert!(message.contains(".step-00000002.part: "), "{message}");
        assert_eq!(Checkpoint::open(dir, false).unwrap().state.step, 1);
    }
}
