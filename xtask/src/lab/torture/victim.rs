//! The folder of a run that is killed, and what is in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::moment::Moment;

/// Files of a checkpoint whose bytes make the run.
const FILES: [&str; 3] = ["model.safetensors", "optimiser.safetensors", "memory.safetensors"];

/// A run between its kills.
#[derive(Debug)]
pub(super) struct Victim {
    folder: PathBuf,
    last: Option<u64>,
}

/// What a kill did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wound {
    /// The moment.
    pub(super) moment: Moment,
    /// Step of the newest checkpoint that was known before, and of the newest now.
    pub(super) steps: [Option<u64>; 2],
}

impl Victim {
    /// A run that will be in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), last: None }
    }

    /// Whether there is a run to resume.
    pub(super) fn is_run(&self) -> bool {
        self.folder.join("recipe.toml").exists()
    }

    /// Looks at the folder after a kill.
    pub(super) fn look(&mut self) -> Result<Wound> {
        let now = newest_whole(&self.folder)?.map(|(step, _)| step);
        let moment = Moment::of(&self.folder, now.is_some());
        let wound = Wound { moment, steps: [self.last, now] };
        self.last = now;
        Ok(wound)
    }
}

/// Refuses a run in `victim` that did not end with the bytes of `whole`.
pub(super) fn same(whole: &Path, victim: &Path) -> Result<()> {
    let last = |folder: &Path| {
        newest_whole(folder)?.with_context(|| format!("{}: no checkpoint", folder.display()))
    };
    let ((expected, a), (found, b)) = (last(whole)?, last(victim)?);
    if expected != found {
        bail!("{}: expected the end at step {expected}, found {found}", victim.display());
    }
    for file in FILES {
        if std::fs::read(a.join(file))? != std::fs::read(b.join(file))? {
            bail!("{}: expected the bytes of {}", b.join(file).display(), a.join(file).display());
        }
    }
    Ok(())
}

/// Step and folder of the newest checkpoint below `folder` whose files are those it names.
fn newest_whole(folder: &Path) -> Result<Option<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder.join("checkpoints")) {
        Ok(entries) => entries,
        Err(_) => return Ok(None),
    };
    let mut newest = None;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.trim_end_matches(".old");
        let step = name.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok());
        let Some(step) = step else { continue };
        if newest.as_ref().is_none_or(|(newest, _)| *newest < step) && is_whole(&path) {
            newest = Some((step, path));
        }
    }
    Ok(newest)
}

fn is_whole(folder: &Path) -> bool {
    let state = std::fs::read(folder.join("state.json")).ok();
    let state = state.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    let digest = |file: &str| {
        let content = std::fs::read(folder.join(file)).ok()?;
        Some(format!("{:x}", Sha256::digest(content)))
    };
    let named = |file: &str| state.as_ref()?["files"][file].as_str().map(str::to_owned);
    FILES.iter().all(|file| named(file).is_some() && named(file) == digest(file))
}

/// Removes what an earlier run left.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(folder: &Path, step: u64, content: &str) {
        let path = folder.join(format!("checkpoints/step-{step:08}"));
        std::fs::create_dir_all(&path).unwrap();
        let digest = format!("{:x}", Sha256::digest(content));
        let files = FILES.map(|file| {
            std::fs::write(path.join(file), content).unwrap();
            format!("\"{file}\": \"{digest}\"")
        });
        let state = format!("{{\"files\": {{{}}}}}", files.join(","));
        std::fs::write(path.join("state.json"), state).unwrap();
    }

    #[test]
    fn only_whole_checkpoints_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut victim = Victim::new(folder.path());
        assert_eq!(victim.look().unwrap().steps, [None, None]);
        checkpoint(folder.path(), 3, "a");
        checkpoint(folder.path(), 4, "b");
        assert_eq!(victim.look().unwrap().steps, [None, Some(4)]);
        let cut = folder.path().join("checkpoints/step-00000004/memory.safetensors");
        std::fs::write(cut, "").unwrap();
        assert_eq!(victim.look().unwrap().steps, [Some(4), Some(3)]);
    }

    #[test]
    fn other_bytes_or_steps_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, victim] = ["whole", "victim"].map(|name| folder.path().join(name));
        checkpoint(&whole, 3, "a");
        assert!(same(&whole, &victim).unwrap_err().to_string().ends_with("no checkpoint"));
        checkpoint(&victim, 2, "a");
        let message = same(&whole, &victim).unwrap_err().to_string();
        assert!(message.ends_with("expected the end at step 3, found 2"), "{message}");
        checkpoint(&victim, 3, "b");
        assert!(same(&whole, &victim).unwrap_err().to_string().contains("expected the bytes of"));
        checkpoint(&victim, 3, "a");
        same(&whole, &victim).unwrap();
    }
}
