//! LibTorch out of an official archive: for machines without Python, or without a pinned wheel.

use std::path::Path;

use anyhow::{Context, Result};

use super::wheels::{UNPACKED_LIMIT, finish};
use super::check_version;
use crate::unpack::{Format, unpack};

/// Fills the empty folder `home` from an official LibTorch zip, checked for the version.
pub(crate) fn from_archive(archive: &Path, home: &Path) -> Result<()> {
    let entries = unpack(archive, Format::Zip, home, UNPACKED_LIMIT, &place)?;
    check_version(home).with_context(|| archive.display().to_string())?;
    finish(home, entries).with_context(|| archive.display().to_string())
}

/// Shared libraries, headers and the version; the static libraries would triple the size.
fn place(name: &str) -> Option<String> {
    let inside = name.strip_prefix("libtorch/").unwrap_or(name);
    let library = inside.strip_prefix("lib/").is_some_and(|file| {
        !file.contains('/') && (file.ends_with(".so") || file.contains(".so.") || file.ends_with(".dylib"))
    });
    (library || inside.starts_with("include/") || inside == "build-version").then(|| inside.to_owned())
}
