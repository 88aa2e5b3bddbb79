//! Replacing a folder of the cache as a whole, by one process at a time.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Prefix of folders being filled; what an interrupted set-up left is removed by the next.
const UNPACKING: &str = ".unpacking-";

/// Holds the cache for this process until the file is dropped; waits where another holds it.
pub(crate) fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("setup.lock");
    let open = || -> Result<File> {
        fs::create_dir_all(cache)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        if fs4::FileExt::try_lock(&file).is_err() {
            eprintln!("another set-up is at work in {}: waiting for it", cache.display());
            fs4::FileExt::lock(&file)?;
        }
        Ok(file)
    };
    let file = open().with_context(|| path.display().to_string())?;
    remove_leftovers(cache)?;
    Ok(file)
}

fn remove_leftovers(cache: &Path) -> Result<()> {
    for item in fs::read_dir(cache)? {
        let item = item?;
        if item.file_name().to_string_lossy().starts_with(UNPACKING) {
            fs::remove_dir_all(item.path()).with_context(|| item.path().display().to_string())?;
        }
    }
    Ok(())
}

/// Puts what `fill` leaves in an empty folder at `target`, which is replaced only when all is well.
///
/// Both folders lie in `cache`, so that the last step is a rename.
pub(crate) fn swap(cache: &Path, target: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let aside = || -> Result<TempDir> { Ok(tempfile::Builder::new().prefix(UNPACKING).tempdir_in(cache)?) };
    let work = aside().with_context(|| cache.display().to_string())?;
    let (fresh, old) = (work.path().join("new"), work.path().join("old"));
    fs::create_dir(&fresh)?;
    fill(&fresh)?;
    if target.exists() {
        fs::rename(target, &old).with_context(|| target.display().to_string())?;
    }
    fs::rename(&fresh, target).with_context(|| target.display().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_failed_filling_changes_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let target = cache.path().join("home");
        swap(cache.path(), &target, |dir| Ok(fs::write(dir.join("a"), "1")?)).unwrap();
        let failed = swap(cache.path(), &target, |dir| {
            fs::write(dir.join("a"), "2")?;
            bail!("cut")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "1");
        swap(cache.path(), &target, |dir| Ok(fs::write(dir.join("b"), "3")?)).unwrap();
        assert!(!target.join("a").exists() && target.join("b").exists());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_lock_keeps_a_second_process_out_and_clears_leftovers() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join(".unpacking-1")).unwrap();
        let held = lock(cache.path()).unwrap();
        assert!(!cache.path().join(".unpacking-1").exists());
        let second = File::options().write(true).open(cache.path().join("setup.lock")).unwrap();
        assert!(fs4::FileExt::try_lock(&second).is_err());
        drop(held);
        fs4::FileExt::try_lock(&second).unwrap();
    }
}
