//! Our folder of LibTorch in the cache: its name, its version, and whether it is whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::record::{self, Depth};
use crate::workspace;

/// The version that tch 0.24 binds; both change together.
pub(crate) const VERSION: &str = "2.11.0";

/// Record of the files, in the folder it describes.
pub(super) const RECORD: &str = "polyptych.files";

/// Our folder in `cache`.
pub(crate) fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-cpu"))
}

/// The folder of the libraries that programs of this checkout are linked with.
pub(crate) fn linked_libraries() -> PathBuf {
    let ours = workspace::root().join(".libtorch");
    std::env::var_os("LIBTORCH").map_or(ours, PathBuf::from).join("lib")
}

/// The folder in `cache` of the LibTorch for another `target`.
pub(crate) fn folder_of(cache: &Path, target: &str) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-cpu-{target}"))
}

/// Fails with what is wrong where `home` is not exactly what set-up left there.
pub(crate) fn whole(home: &Path, depth: Depth) -> Result<()> {
    if !home.is_dir() {
        bail!("{}: no such folder", home.display());
    }
    check_version(home)?;
    record::check(home, &record::read(&home.join(RECORD))?, depth)
}

/// Compares the file `build-version` of a LibTorch folder with [`VERSION`].
pub(super) fn check_version(folder: &Path) -> Result<()> {
    let file = folder.join("build-version");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    is_version(&text).with_context(|| file.display().to_string())
}

/// Accepts `2.11.0` and its builds such as `2.11.0+cpu`.
pub(super) fn is_version(text: &str) -> Result<()> {
    let found = text.trim();
    if found.split('+').next() != Some(VERSION) {
        bail!("expected LibTorch {VERSION}, found `{found}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn builds_of_the_version_are_accepted_others_named() {
        is_version("2.11.0+cu130\n").unwrap();
        is_version("2.11.0").unwrap();
        for other in ["2.11.01", "2.1.0", ""] {
            assert!(
                is_version(other).unwrap_err().to_string().contains(&format!("found `{other}`"))
            );
        }
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = folder(dir.path());
        assert!(whole(&home, Depth::Sizes).unwrap_err().to_string().contains("no such folder"));
        fs::create_dir_all(home.join("lib")).unwrap();
        assert!(whole(&home, Depth::Sizes).unwrap_err().to_string().contains("build-version"));
        fs::write(home.join("build-version"), VERSION).unwrap();
        assert!(whole(&home, Depth::Sizes).unwrap_err().to_string().contains(RECORD));
        fs::write(home.join("lib/libc10.so"), "elf").unwrap();
        let entries = record::list_files(&home.join("lib")).unwrap();
        let below =
            entries.into_iter().map(|e| record::Entry { path: format!("lib/{}", e.path), ..e });
        record::write(&home.join(RECORD), &below.collect::<Vec<_>>()).unwrap();
        whole(&home, Depth::Hashes).unwrap();
        fs::write(home.join("lib/libc10.so"), "el").unwrap();
        assert!(whole(&home, Depth::Sizes).unwrap_err().to_string().contains("found 2"));
    }
}
