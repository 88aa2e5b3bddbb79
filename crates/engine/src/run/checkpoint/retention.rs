//! The folders of a run's checkpoints: which there are, how a new one takes its place, which go.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use polyptych_formats::file;

use crate::Result;
use crate::error::io;

/// What a folder is called while its successor takes its place.
const REPLACED: &str = ".old";
/// What a folder is called while it is written.
const PARTIAL: &str = ".part";

/// Where the checkpoint of `step` lies below `dir`.
pub(super) fn folder_of(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("step-{step:08}"))
}

/// Where the checkpoint that will be `folder` is written.
pub(super) fn aside(folder: &Path) -> PathBuf {
    with_ending(folder, PARTIAL)
}

/// Folders below `dir` that hold a checkpoint, the newest first.
///
/// # Errors
/// A folder that cannot be listed.
pub(super) fn newest_first(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = list(dir)?;
    found.retain(|(_, path)| !has_ending(path, PARTIAL));
    // A replaced folder is the newest of its step only where a cut kept its successor away.
    found.sort_by_key(|(step, path)| std::cmp::Reverse((*step, !has_ending(path, REPLACED))));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Gives what was written aside its name, at every moment of which one whole folder is there.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn place(folder: &Path) -> Result<()> {
    let old = with_ending(folder, REPLACED);
    if folder.exists() {
        remove(&old)?;
        std::fs::rename(folder, &old).map_err(io(folder))?;
    }
    std::fs::rename(aside(folder), folder).map_err(io(folder))?;
    Ok(file::sync_folder(folder.parent().unwrap_or(folder))?)
}

/// Removes all but the `limit` newest folders and that of the step `best`.
///
/// # Errors
/// A folder that cannot be removed.
pub(super) fn retire(dir: &Path, limit: usize, best: Option<u64>) -> Result<()> {
    let mut found = list(dir)?;
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    let whole = |path: &Path| !has_ending(path, PARTIAL) && !has_ending(path, REPLACED);
    let mut kept = 0;
    for (step, path) in found {
        kept += usize::from(whole(&path));
        if !whole(&path) || (kept > limit && Some(step) != best) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a folder that may be there.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(folder)(e)),
        _ => Ok(()),
    }
}

fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = std::fs::read_dir(dir).map_err(io(dir))?;
    let paths = entries.map(|entry| Ok(entry.map_err(io(dir))?.path()));
    let paths = paths.collect::<Result<Vec<PathBuf>>>()?;
    Ok(paths.into_iter().filter_map(|path| Some((step_of(&path)?, path))).collect())
}

fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix("step-")?;
    let name = [PARTIAL, REPLACED].iter().fold(name, |name, end| name.trim_end_matches(end));
    name.parse().ok()
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension() == Some(OsStr::new(&ending[1..]))
}

fn with_ending(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
