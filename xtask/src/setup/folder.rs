//! Replacing a folder as a whole, by one process at a time.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Prefix of folders being filled.
const UNPACKING: &str = ".polyptych-unpacking-";

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
    open().with_context(|| path.display().to_string())
}

/// Removes what a filling cut short left in `folder`; call it under [`lock`] only.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<()> {
    for item in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let item = item?;
        if item.file_name().to_string_lossy().starts_with(UNPACKING) {
            fs::remove_dir_all(item.path()).with_context(|| item.path().display().to_string())?;
        }
    }
    Ok(())
}

/// Puts what `fill` leaves in an empty folder at `target`, which is replaced only when all is well.
pub(crate) fn swap(target: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    put(target, |fresh| {
        fs::create_dir(fresh)?;
        fill(fresh)
    })
}

/// Puts a link to the folder `to` at `target`, replacing what is there.
pub(crate) fn link(to: &Path, target: &Path) -> Result<()> {
    put(target, |fresh| Ok(symlink(to, fresh)?))
}

/// Gives what `make` makes the name `target`; all lies in one folder, so that the last step is a rename.
fn put(target: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = target.parent().context("expected a folder inside another")?;
    let aside = || -> Result<TempDir> {
        Ok(tempfile::Builder::new().prefix(UNPACKING).tempdir_in(parent)?)
    };
    let work = aside().with_context(|| parent.display().to_string())?;
    let (fresh, old) = (work.path().join("new"), work.path().join("old"));
    make(&fresh)?;
    // A link is renamed over in one step; a folder has to make room first.
    let room = target.is_symlink() && fresh.is_symlink();
    if !room && target.symlink_metadata().is_ok() {
        fs::rename(target, &old).with_context(|| target.display().to_string())?;
    }
    fs::rename(&fresh, target).with_context(|| target.display().to_string())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_failed_filling_changes_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let target = cache.path().join("home");
        swap(&target, |dir| Ok(fs::write(dir.join("a"), "1")?)).unwrap();
        let failed = swap(&target, |dir| {
            fs::write(dir.join("a"), "2")?;
            bail!("cut")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "1");
        swap(&target, |dir| Ok(fs::write(dir.join("b"), "3")?)).unwrap();
        assert!(!target.join("a").exists() && target.join("b").exists());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_folders_take_each_others_place() {
        let dir = tempfile::tempdir().unwrap();
        let (to, target) = (dir.path().join("to"), dir.path().join("target"));
        fs::create_dir(&to).unwrap();
        fs::write(to.join("a"), "1").unwrap();
        link(Path::new("gone"), &target).unwrap();
        link(&to, &target).unwrap();
        assert_eq!(fs::read_link(&target).unwrap(), to);
        swap(&target, |dir| Ok(fs::write(dir.join("b"), "2")?)).unwrap();
        assert!(!target.is_symlink() && to.join("a").exists(), "the linked folder stays as it was");
        link(&to, &target).unwrap();
        assert!(target.join("a").exists());
    }

    #[test]
    fn the_lock_keeps_a_second_process_out_and_clears_leftovers() {
        let cache = tempfile::tempdir().unwrap();
        let leftover = cache.path().join(format!("{UNPACKING}1"));
        fs::create_dir(&leftover).unwrap();
        let held = lock(cache.path()).unwrap();
        remove_leftovers(cache.path()).unwrap();
        assert!(!leftover.exists());
        let second = File::options().write(true).open(cache.path().join("setup.lock")).unwrap();
        assert!(fs4::FileExt::try_lock(&second).is_err());
        drop(held);
        fs4::FileExt::try_lock(&second).unwrap();
    }
}
