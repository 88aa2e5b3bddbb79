//! A file that is to be brought, and what is known about it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::record;

/// A file to bring.
pub(crate) struct Download<'a> {
    /// Name of the file once it is here.
    pub(crate) file: &'a str,
    /// Addresses, the best first.
    pub(crate) urls: &'a [String],
    /// Expected SHA-256, where one is known.
    pub(crate) sha256: Option<&'a str>,
    /// Expected length, where it is known.
    pub(crate) bytes: Option<u64>,
}

/// A file that is here.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    /// Found by reading the file.
    pub(crate) sha256: String,
}

/// Checks a complete file against what is known about it.
pub(crate) fn accept(download: &Download, path: &Path) -> Result<Fetched> {
    let found = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if let Some(expected) = download.bytes.filter(|&expected| expected != found) {
        bail!("{}: expected {expected} bytes, found {found}", download.file);
    }
    let sha256 = record::sha256(path)?;
    if let Some(expected) =
        download.sha256.filter(|expected| !expected.eq_ignore_ascii_case(&sha256))
    {
        bail!("{}: expected SHA-256 {expected}, found {sha256}", download.file);
    }
    Ok(Fetched { path: path.to_path_buf(), sha256 })
}
