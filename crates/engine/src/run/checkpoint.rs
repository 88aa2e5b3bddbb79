//! What a run needs to go on: weights, optimiser state, position, best so far.
//!
//! A checkpoint is a folder, `step-<step>`, that is written aside, flushed to disk and renamed: it
//! is there whole or not at all. Every file's SHA-256 stands in `state.json`; one that a disk has
//! spoilt is passed over for the newest that is whole.

mod retention;

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_backbones::checkpoint::is_rounded_up;
use polyptych_formats::file;
use polyptych_metrics::Baseline;
use polyptych_tensor::Tensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::io;
use crate::model::header::header;
use crate::run::data_record::DataRecord;
use crate::training::log::to_json;
use crate::{Error, Peak, Result};
use retention::folder_of;

const MODEL: &str = "model.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
const MEMORY: &str = "memory.safetensors";
const STATE: &str = "state.json";

/// Everything with memory, apart from tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps skipped in a row because a number was not finite.
    pub(crate) skipped: u64,
    /// Step of the last evaluation.
    pub(crate) measured: u64,
    /// Selection score of the best evaluation, and its step.
    pub(crate) best: Option<(f64, u64)>,
    /// The best headline of every task.
    pub(crate) peaks: BTreeMap<String, Peak>,
    /// Headlines of the first evaluation, which selection compares with without baselines.
    pub(crate) reference: Vec<Baseline>,
    /// The resolved recipe; its SHA-256 where an earlier version wrote it.
    pub(crate) recipe: String,
    /// What the data sets looked like from outside.
    pub(crate) data: DataRecord,
    /// Versions of Polyptych and LibTorch that wrote it.
    pub(crate) versions: String,
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
    /// the balancer (a recipe has one of them at most), and the scale of losses in float16.
    pub(crate) memory: Tensors,
    pub(crate) state: State,
    /// Whether its Swin, if any, was planned by rounding up.
    pub(crate) rounded_up: bool,
}

impl Checkpoint {
    /// Reads the newest whole checkpoint below `dir`, or the one that measured best.
    ///
    /// # Errors
    /// No checkpoint, none that is whole, or a best one that is not.
    pub fn open(dir: &Path, best: bool) -> Result<Self> {
        let newest = Self::newest(dir)?;
        match newest.state.best {
            Some((_, step)) if best && step != newest.state.step => {
                Self::read(&folder_of(dir, step))
            }
            _ => Ok(newest),
        }
    }

    /// Whether there is a checkpoint below `dir`, whole or not.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(crate) fn any(dir: &Path) -> Result<bool> {
        Ok(!retention::newest_first(dir)?.is_empty())
    }

    /// Steps that were done when it was written.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    fn newest(dir: &Path) -> Result<Self> {
        let reason = "expected a checkpoint, found none".into();
        let mut cause = Error::Run { path: dir.into(), reason };
        for (index, folder) in retention::newest_first(dir)?.iter().enumerate() {
            match Self::read(folder) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(e) => {
                    tracing::warn!("{e}; looking for an earlier checkpoint");
                    cause = if index == 0 { e } else { cause };
                }
            }
        }
        Err(cause)
    }

    fn read(folder: &Path) -> Result<Self> {
        let state: State = read_json(&folder.join(STATE))?;
        for (name, expected) in &state.files {
            let path = folder.join(name);
            let found = sha256(&std::fs::read(&path).map_err(io(&path))?);
            if found != *expected {
                let reason = format!("expected SHA-256 {expected}, found {found}");
                return Err(Error::Run { path, reason });
            }
        }
        let read = |name| file::load(&folder.join(name));
        let (model, optimiser, memory) = (read(MODEL)?, read(OPTIMISER)?, read(MEMORY)?);
        let rounded_up = is_rounded_up(&model.metadata);
        let (model, optimiser, memory) = (model.tensors, optimiser.tensors, memory.tensors);
        Ok(Self { model, optimiser, memory, state, rounded_up })
    }

    /// Writes the checkpoint below `dir`; all but the `limit` newest ones and the best are removed.
    ///
    /// # Errors
    /// Whatever the file system says; earlier checkpoints stay valid then.
    pub(crate) fn save(mut self, dir: &Path, limit: usize) -> Result<()> {
        let folder = folder_of(dir, self.state.step);
        let aside = retention::aside(&folder);
        retention::remove(&aside)?;
        // Not its parents: a run whose folder was removed must not bring back a part of it.
        std::fs::create_dir(&aside).map_err(io(&aside))?;
        let written = self.write(&aside);
        if written.is_err() {
            // The cause is on its way up; what cannot be removed is removed by the next attempt.
            let _ = retention::remove(&aside);
        }
        written?;
        retention::place(&folder)?;
        retention::retire(dir, limit, self.state.best.map(|(_, step)| step))
    }

    fn write(&mut self, folder: &Path) -> Result<()> {
        let files = [(MODEL, &self.model), (OPTIMISER, &self.optimiser), (MEMORY, &self.memory)];
        for (name, tensors) in files {
            let path = folder.join(name);
            file::save(&path, tensors, header())?;
            let digest = sha256(&std::fs::read(&path).map_err(io(&path))?);
            self.state.files.insert(name.into(), digest);
        }
        Ok(file::write_aside(&folder.join(STATE), to_json(&self.state).as_bytes())?)
    }
}

/// Hexadecimal SHA-256.
pub(crate) fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

/// Reads one of our own JSON files.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(io(path))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::Run { path: path.into(), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Tensor;

    use super::*;

    fn checkpoint(step: u64, best: u64) -> Checkpoint {
        let tensors = |value: f32| Tensors::from([("w".to_owned(), Tensor::from_slice(&[value]))]);
        let (model, optimiser) = (tensors(step as f32), tensors(-1.0));
        let state = State { step, best: Some((0.5, best)), ..State::default() };
        Checkpoint { model, optimiser, memory: Tensors::new(), state, rounded_up: true }
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

    fn last(dir: &Path) -> u64 {
        Checkpoint::open(dir, false).unwrap().state.step
    }

    #[test]
    fn the_newest_and_the_best_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for (step, best) in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)] {
            checkpoint(step, best).save(dir, 2).unwrap();
        }
        assert_eq!(names(dir), ["step-00000002", "step-00000004", "step-00000005"]);
        let (last, best) =
            (Checkpoint::open(dir, false).unwrap(), Checkpoint::open(dir, true).unwrap());
        assert_eq!((last.state.step, best.state.step), (5, 2));
        assert_eq!(last.model["w"].double_value(&[0]), 5.0);
        assert_eq!(last.optimiser["w"].double_value(&[0]), -1.0);
    }

    /// A clock that jumps back gives younger folders older times.
    #[test]
    fn the_newest_is_the_one_of_the_last_step_whatever_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for (step, time) in [(1, "2099-01-01"), (2, "1999-01-01"), (3, "1980-01-01")] {
            checkpoint(step, 1).save(dir, 3).unwrap();
            let path = dir.join(format!("step-{step:08}"));
            let touched = std::process::Command::new("touch").args(["-d", time]).arg(path).status();
            assert!(touched.unwrap().success());
        }
        assert_eq!(last(dir), 3);
        checkpoint(4, 1).save(dir, 2).unwrap();
        assert_eq!(names(dir), ["step-00000001", "step-00000003", "step-00000004"]);
    }

    #[test]
    fn the_best_is_the_last_where_nothing_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let mut unmeasured = checkpoint(7, 7);
        unmeasured.state.best = None;
        unmeasured.save(folder.path(), 1).unwrap();
        assert_eq!(Checkpoint::open(folder.path(), true).unwrap().state.step, 7);
    }

    #[test]
    fn the_same_step_is_saved_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut second = checkpoint(5, 5);
        second.state.measured = 5;
        checkpoint(5, 5).save(folder.path(), 1).unwrap();
        second.save(folder.path(), 1).unwrap();
        assert_eq!(names(folder.path()), ["step-00000005"]);
        assert_eq!(Checkpoint::open(folder.path(), false).unwrap().state.measured, 5);
    }

    /// What a cut between the two renames leaves, and what one while writing leaves.
    #[test]
    fn a_cut_while_saving_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        checkpoint(5, 5).save(dir, 1).unwrap();
        std::fs::rename(dir.join("step-00000005"), dir.join("step-00000005.old")).unwrap();
        std::fs::create_dir(dir.join("step-00000005.part")).unwrap();
        std::fs::create_dir(dir.join("step-00000006.part")).unwrap();
        assert_eq!(last(dir), 5);
        checkpoint(5, 5).save(dir, 1).unwrap();
        assert_eq!(names(dir), ["step-00000005"]);
    }

    #[test]
    fn a_spoilt_checkpoint_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for step in 1..=3 {
            checkpoint(step, 1).save(dir, 3).unwrap();
        }
        std::fs::write(dir.join("step-00000003").join(STATE), "{").unwrap();
        std::fs::write(dir.join("step-00000002").join(MEMORY), "").unwrap();
        assert_eq!(last(dir), 1);
        std::fs::remove_dir_all(dir.join("step-00000001")).unwrap();
        let message = refusal(dir);
        assert!(message.contains("step-00000003/state.json: "), "{message}");
    }

    /// Whoever asks for the best must not be given another.
    #[test]
    fn a_spoilt_best_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        checkpoint(1, 1).save(dir, 1).unwrap();
        checkpoint(2, 1).save(dir, 1).unwrap();
        std::fs::write(dir.join("step-00000001").join(MODEL), "").unwrap();
        let message = Checkpoint::open(dir, true).unwrap_err().to_string();
        assert!(message.contains("step-00000001/model.safetensors: expected SHA-256 "));
        assert_eq!(last(dir), 2);
    }

    #[test]
    fn what_was_not_written_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert!(refusal(dir).ends_with("expected a checkpoint, found none"));
        checkpoint(1, 1).save(dir, 1).unwrap();
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
        checkpoint(1, 1).save(dir, 1).unwrap();
        // A file where the folder should be made.
        std::fs::write(dir.join("step-00000002.part"), "in the way").unwrap();
        let message = checkpoint(2, 1).save(dir, 1).unwrap_err().to_string();
        assert!(message.contains("step-00000002.part: "), "{message}");
        assert_eq!(last(dir), 1);
    }
}
