//! The unfinished file beside a download's target, and where its bytes came from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `<target>.part`, with `<target>.part.from` naming its address and version.
pub(super) struct Part {
    path: PathBuf,
    origin: PathBuf,
}

impl Part {
    pub(super) fn new(target: &Path) -> Part {
        let beside = |end: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        Part { path: beside(".part"), origin: beside(".part.from") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are here.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Prepares for bytes of `url`. Without a hash to tell, bytes of two addresses must not mix.
    pub(super) fn claim(&self, url: &str, pinned: bool) -> Result<()> {
        if !pinned && self.origin_lines().first().map(String::as_str) != Some(url) {
            self.discard()?;
        }
        let version =
            self.version().filter(|_| self.origin_lines().first().map(String::as_str) == Some(url));
        self.remember(url, version.as_deref())
    }

    /// Notes which version of `url` the bytes belong to, as its `ETag` says.
    pub(super) fn remember(&self, url: &str, version: Option<&str>) -> Result<()> {
        let text = format!("{url}\n{}\n", version.unwrap_or_default());
        fs::write(&self.origin, text).with_context(|| self.origin.display().to_string())
    }

    /// The strong `ETag` under which the bytes came.
    pub(super) fn version(&self) -> Option<String> {
        self.origin_lines().into_iter().nth(1).filter(|version| !version.is_empty())
    }

    fn origin_lines(&self) -> Vec<String> {
        fs::read_to_string(&self.origin)
            .map(|text| text.lines().map(str::to_owned).collect())
            .unwrap_or_default()
    }

    /// Opens the file to go on at its end, or from the beginning.
    pub(super) fn open(&self, go_on: bool) -> Result<File> {
        let mut options = File::options();
        options.create(true).append(go_on).write(true).truncate(!go_on);
        options.open(&self.path).with_context(|| self.path.display().to_string())
    }

    /// Removes the bytes and what is known about them.
    pub(super) fn discard(&self) -> Result<()> {
        for path in [&self.path, &self.origin] {
            if path.exists() {
                fs::remove_file(path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Gives the complete file its name.
    pub(super) fn promote(&self, target: &Path) -> Result<()> {
        fs::rename(&self.path, target).with_context(|| target.display().to_string())?;
        self.discard()
    }
}
