//! Whole shards in a folder of bounded size: those that were used last stay.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::client::Client;
use crate::decode::unreadable;
use crate::{Error, Result};

/// Endings of the files that are kept.
pub(super) const ENDINGS: [&str; 3] = ["tar", "parquet", "arrow"];
/// Ending of the files that are being written.
const PART: &str = ".part";
/// Files that are being written for longer were left by a process that ended.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// When a file was used last.
#[expect(clippy::disallowed_types, reason = "says what is removed first, not what a run reads")]
type Moment = std::time::SystemTime;

/// The folder.
#[derive(Debug)]
pub(super) struct ShardCache {
    folder: PathBuf,
    /// Most bytes of all shards.
    limit: u64,
    /// Bytes that this process is about to write.
    coming: Mutex<u64>,
    /// Wakes those who wait for others to have written theirs.
    came: Condvar,
}

/// A shard that is in the folder, or will be.
pub(super) struct Wanted<'a> {
    pub(super) address: &'a str,
    /// Name of its file.
    pub(super) name: &'a str,
    /// Its bytes.
    pub(super) length: u64,
}

impl ShardCache {
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit, coming: Mutex::new(0), came: Condvar::new() }
    }

    /// The shard, opened; it is fetched if it is not there.
    ///
    /// # Errors
    /// [`Error::Fetch`], [`Error::Io`] where the folder cannot be written, and a shard that is
    /// larger than the folder may be.
    pub(super) fn open(&self, client: &Client, wanted: &Wanted) -> Result<File> {
        let path = self.folder.join(wanted.name);
        if let Ok(Some(file)) = used(&path, wanted.length) {
            return Ok(file);
        }
        self.make_room(wanted)?;
        let fetched = self.fetch(client, wanted, &path);
        *self.coming.lock().unwrap_or_else(PoisonError::into_inner) -= wanted.length;
        self.came.notify_all();
        fetched
    }

    fn fetch(&self, client: &Client, wanted: &Wanted, path: &Path) -> Result<File> {
        let part = || {
            let part = tempfile::Builder::new().suffix(PART).tempfile_in(&self.folder);
            part.map_err(unreadable(&self.folder))
        };
        let written: NamedTempFile = client.download(wanted.address, wanted.length, part)?;
        let kept = written.persist(path).map_err(|error| unreadable(path)(error.error))?;
        drop(kept);
        // Opened anew: what was written may be opened for writing alone.
        File::open(path).map_err(unreadable(path))
    }

    /// Removes what was not used for longest until the shard fits.
    fn make_room(&self, wanted: &Wanted) -> Result<()> {
        if wanted.length > self.limit {
            return Err(Error::Config {
                origin: wanted.address.to_owned(),
                key: "layout.remote.cache_mib".into(),
                expected: format!("at least {} for this shard", wanted.length.div_ceil(1 << 20)),
                found: (self.limit >> 20).to_string(),
            });
        }
        fs::create_dir_all(&self.folder).map_err(unreadable(&self.folder))?;
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        // What others are about to write cannot be removed yet.
        while !self.evict(*coming + wanted.length).map_err(unreadable(&self.folder))? {
            coming = self.came.wait(coming).unwrap_or_else(PoisonError::into_inner);
        }
        *coming += wanted.length;
        Ok(())
    }

    /// Removes shards until there is room for so many bytes; whether there is.
    fn evict(&self, coming: u64) -> io::Result<bool> {
        let mut kept = self.kept()?;
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in kept {
            if total + coming <= self.limit {
                break;
            }
            // Another process may have removed it; one that reads it goes on reading.
            let _ = fs::remove_file(path);
            total -= length;
        }
        Ok(total + coming <= self.limit)
    }

    /// When each shard was used, its length and its path. What a process that ended left is removed.
    fn kept(&self) -> io::Result<Vec<(Moment, u64, PathBuf)>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, Ok(about)) = (entry.path(), entry.metadata()) else { continue };
            let used = about.modified()?;
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(ending) if ENDINGS.contains(&ending) => kept.push((used, about.len(), path)),
                Some("part") if used.elapsed().is_ok_and(|age| age > STALE) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        Ok(kept)
    }
}

/// Opens a shard that is there, and notes that it was used; none of another length.
fn used(path: &Path, length: u64) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    if file.metadata()?.len() != length {
        return Ok(None);
    }
    // On file systems where it cannot be noted, the one that was fetched first goes first.
    let _ = file.set_modified(Moment::now());
    Ok(Some(file))
}
