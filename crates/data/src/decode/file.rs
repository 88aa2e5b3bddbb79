//! The bytes of a file, and the errors of files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::bounds::MAX_BYTES;
use crate::{Error, Result};

/// The bytes of a file, if it is not larger than any that is read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(unreadable(path))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable(path))?;
    let fits = bytes.len() as u64 <= MAX_BYTES;
    let too_large = || damaged(path, "file", format!("more than {MAX_BYTES} bytes"));
    fits.then_some(bytes).ok_or_else(too_large)
}

/// The error for a file whose bytes are not what they should be.
pub(crate) fn damaged(path: &Path, format: &'static str, reason: impl Into<String>) -> Error {
    Error::Decode { path: path.to_owned(), format, reason: reason.into() }
}

/// The error for a file that the system does not give.
pub(crate) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}
