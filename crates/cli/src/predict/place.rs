//! Names of files that are written.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Behind all of the name: what stands behind a point in it is part of it.
pub(super) fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut whole: OsString = name.into();
    whole.push(ending);
    whole.into()
}
