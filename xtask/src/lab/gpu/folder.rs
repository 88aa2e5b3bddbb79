//! Files of a bundle.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Copies a file, whose folder need not be there.
pub(super) fn copied(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("expected a path with a folder, found none")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

/// All files below `folder`, in the order of their names.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Bytes for people.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
