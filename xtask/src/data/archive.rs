//! A published archive, and where its files go in the layout that the manifest describes.

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::setup::unpack::Format;

/// Bound of what an archive may unpack to, where its manifest sets none.
pub(super) const UNPACKED_LIMIT: u64 = 64 << 30;

/// One published file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Archive {
    pub(super) file: String,
    /// Addresses, the best first.
    pub(super) urls: Vec<String>,
    /// Absent where nobody has read the published bytes yet: then set-up prints what it found.
    pub(super) sha256: Option<String>,
    pub(super) bytes: Option<u64>,
    /// Read off the file's name unless given.
    pub(super) format: Option<Format>,
    /// Folders to drop at the front of every name.
    #[serde(default)]
    pub(super) strip: usize,
    /// Folder below the data set's to unpack into.
    #[serde(default)]
    pub(super) into: String,
    /// Which folders to take and where to; all of them where empty.
    #[serde(default)]
    pub(super) moves: Vec<Move>,
    unpacked_bytes: Option<u64>,
}

impl Archive {
    pub(super) fn format(&self) -> Format {
        self.format.unwrap_or_else(|| Format::of(&self.file))
    }

    /// Most bytes that the archive may unpack to.
    pub(super) fn unpacked_limit(&self) -> u64 {
        self.unpacked_bytes.unwrap_or(UNPACKED_LIMIT)
    }

    /// Refuses names, addresses and hashes that cannot be.
    pub(super) fn validate(&self) -> Result<()> {
        if self.file.is_empty() || self.file.contains(['/', '\\']) || self.file.starts_with('.') {
            bail!("archive.file: expected a plain file name, found `{}`", self.file);
        }
        if self.urls.is_empty() {
            bail!("{}: archive.urls: expected an address, found none", self.file);
        }
        let hexadecimal =
            |hash: &&String| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match &self.sha256 {
            Some(hash) if !hexadecimal(&hash) => bail!(
                "{}: archive.sha256: expected 64 hexadecimal digits, found `{hash}`",
                self.file
            ),
            _ => Ok(()),
        }
    }
}

/// Takes one folder or file of an archive; what no rule takes is left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    /// Folder or file in the archive, after stripping.
    from: String,
    /// Its place below the data set's folder; empty is the folder itself.
    to: String,
}

/// Place of the archive's entry `name` below the data set's folder, or `None` to leave it out.
pub(super) fn place(archive: &Archive, name: &str) -> Option<String> {
    let stripped = strip(name, archive.strip)?;
    let moved = if archive.moves.is_empty() {
        Some(stripped.to_owned())
    } else {
        archive.moves.iter().find_map(|rule| rule.apply(stripped))
    };
    moved.map(|moved| join(&archive.into, &moved))
}

fn strip(name: &str, folders: usize) -> Option<&str> {
    (0..folders).try_fold(name, |name, _| name.split_once('/').map(|(_, rest)| rest))
}

impl Move {
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(self.from.as_str())?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(join(&self.to, rest)),
            None if rest.is_empty() => Some(self.to.clone()),
            // `train` must not take `trainannot`.
            None => None,
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(rest: &str) -> Archive {
        toml::from_str(&format!("file = 'a.zip'\nurls = ['u']\n{rest}")).unwrap()
    }

    #[test]
    fn folders_are_stripped_and_prefixed() {
        let archive = archive("strip = 1\ninto = 'sub'\n");
        assert_eq!(place(&archive, "root/a/b").as_deref(), Some("sub/a/b"));
        assert_eq!(place(&archive, "README"), None);
    }

    #[test]
    fn only_named_folders_are_taken() {
        let archive = archive(
            "moves = [{ from = 'C/train', to = 'images/train' }, { from = 'C/x.txt', to = 'y.txt' }]\n",
        );
        assert_eq!(place(&archive, "C/train/1.png").as_deref(), Some("images/train/1.png"));
        assert_eq!(place(&archive, "C/x.txt").as_deref(), Some("y.txt"));
        assert_eq!(place(&archive, "C/trainannot/1.png"), None);
        assert_eq!(place(&archive, "models/big"), None);
    }
}
