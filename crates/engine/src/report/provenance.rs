//! `provenance.json`: which commands, versions and data made a run.

use std::path::Path;
#[allow(clippy::disallowed_types, reason = "people ask when; no run depends on it")]
use std::time::{SystemTime, UNIX_EPOCH};

use polyptych_distributed::Ranks;
use polyptych_formats::file;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::run::checkpoint::read_json;
use crate::training::log::to_json;

/// Name of the file in the folder of a run.
pub(super) const PROVENANCE: &str = "provenance.json";

/// One call of a program that trained a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The command as it was typed, quoted for a shell.
    pub(crate) command: String,
    /// Versions of Polyptych and LibTorch.
    pub(crate) versions: String,
    /// What the data sets looked like from outside.
    pub(crate) data: String,
    /// Where it computed.
    pub(crate) device: String,
    /// Processes that trained together.
    #[serde(default = "one")]
    pub(crate) world_size: usize,
    /// What their tensors went over; none of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<String>,
    /// Steps that were done before.
    pub(crate) step: u64,
    /// When it began, in seconds since 1970 UTC.
    pub(crate) unix_seconds: u64,
}

impl Call {
    /// One of the processes `ranks`.
    pub(crate) fn new(
        ranks: &Ranks,
        versions: String,
        data: String,
        device: String,
        step: u64,
    ) -> Self {
        #[allow(clippy::disallowed_types)]
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_seconds = since.map_or(0, |since| since.as_secs());
        let command = command(std::env::args());
        let (world_size, backend) = (ranks.size(), ranks.backend().map(str::to_owned));
        Self { command, versions, data, device, world_size, backend, step, unix_seconds }
    }
}

/// Records of earlier versions are of one process.
fn one() -> usize {
    1
}

/// Adds a call to the run in `folder`.
pub(super) fn note(folder: &Path, call: &Call) -> Result<()> {
    let mut calls = calls(folder)?;
    calls.push(call.clone());
    Ok(file::write_aside(&folder.join(PROVENANCE), to_json(&calls).as_bytes())?)
}

/// All calls of the run in `folder`; none where an earlier version trained it.
pub(crate) fn calls(folder: &Path) -> Result<Vec<Call>> {
    let path = folder.join(PROVENANCE);
    if path.exists() { read_json(&path) } else { Ok(Vec::new()) }
}

/// The program without its folder, and what stood behind it.
fn command(words: impl Iterator<Item = String>) -> String {
    let quoted = words.enumerate().map(|(index, word)| {
        let name = Path::new(&word).file_name().filter(|_| index == 0);
        quote(name.map_or_else(|| word.clone(), |name| name.to_string_lossy().into_owned()))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn quote(word: String) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_typed_again() {
        let words = ["bin/polyptych", "train", "--set", "adapter={r=2}", "it's"];
        let found = command(words.iter().map(|&word| word.to_owned()));
        assert_eq!(found, r"polyptych train --set 'adapter={r=2}' 'it'\''s'");
    }

    #[test]
    fn every_call_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert!(calls(folder.path()).unwrap().is_empty());
        for step in [0, 4] {
            let call = Call::new(Ranks::ALONE, "v".into(), "d".into(), "cpu".into(), step);
            note(folder.path(), &call).unwrap();
        }
        let steps: Vec<u64> = calls(folder.path()).unwrap().iter().map(|call| call.step).collect();
        assert_eq!(steps, [0, 4]);
    }
}
