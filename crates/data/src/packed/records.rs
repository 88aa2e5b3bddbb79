//! What every file of many samples gives.

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};

use super::remote::Remote;
use crate::Result;

/// A format of files with many samples.
pub(crate) struct Packed {
    /// Name in manifests.
    pub(crate) name: &'static str,
    /// Endings of the files.
    pub(crate) endings: &'static [&'static str],
    /// Parts that hold the image where a manifest does not say: the first that a record has.
    pub(crate) image: &'static str,
    /// Opens files, one after the other.
    pub(crate) open: fn(&[PathBuf]) -> Result<Box<dyn Records>>,
    /// Opens files at addresses; none where such files are read from disk alone.
    pub(crate) open_remote: Option<OpenRemote>,
}

/// Opens files at addresses, one after the other.
type OpenRemote = fn(&[String], &Remote) -> Result<Box<dyn Records>>;

/// The records of a split.
pub(crate) trait Records: Debug + Send + Sync {
    /// Number of records.
    fn len(&self) -> usize;

    /// Name of a record.
    fn key(&self, index: usize) -> String;

    /// The file of a record.
    fn path(&self, index: usize) -> &Path;

    /// Bytes of a record, as far as they are known without reading it.
    fn length(&self, index: usize) -> u64;

    /// Names of the parts that a record has.
    fn parts(&self, index: usize) -> Vec<String>;

    /// Names and types of the columns that cannot be read.
    fn unread(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What a record has, and what of it cannot be read, as errors say it.
    fn there(&self, index: usize) -> String {
        let parts = self.parts(index).join(", ");
        let unread = self.unread().into_iter().map(|(name, kind)| format!("{name} ({kind})"));
        let unread: Vec<String> = unread.collect();
        match unread.is_empty() {
            true => format!("[{parts}]"),
            false => format!("[{parts}], without those that are not read: {}", unread.join(", ")),
        }
    }

    /// The bytes of a part; none where the record has no such part.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it was.
    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>>;

    /// The bytes of a part as those of an image file; none where the record has no such part.
    ///
    /// # Errors
    /// As [`Records::read`], and a part that is no image.
    fn image(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        self.read(index, part)
    }

    /// Names of the classes whose numbers a part holds, where the files know them.
    fn classes(&self, _part: &str) -> Option<Vec<String>> {
        None
    }

    /// File, record and part, as errors name them.
    fn place(&self, index: usize, part: &str) -> PathBuf {
        format!("{}: {}.{part}", self.path(index).display(), self.key(index)).into()
    }
}

impl Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Packed {}
