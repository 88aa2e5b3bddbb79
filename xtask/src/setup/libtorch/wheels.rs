//! LibTorch out of the wheels that PyTorch publishes, through pip and with pinned hashes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::home::{RECORD, VERSION};
use super::pip::Pip;
use super::platform::LINK_SCRIPT;
use super::wheel::Wheel;
use crate::setup::record::{self, Entry};
use crate::setup::unpack::{Format, unpack};

/// What the wheels unpack to, and more than enough of it.
pub(super) const UNPACKED_LIMIT: u64 = 8 << 30;

/// Fills the empty folder `home`; wheels that lie whole in `downloads` are not fetched again.
pub(crate) fn from_wheels(pip: &Pip, downloads: &Path, home: &Path) -> Result<()> {
    let mut entries = Vec::new();
    for wheel in pip.platform.wheels {
        let path = wheel.bring(pip, downloads)?;
        eprintln!("unpacking {} {}", wheel.project, wheel.version);
        entries.extend(unpack(&path, Format::Zip, home, UNPACKED_LIMIT, &wheel.place)?);
    }
    if pip.platform.leaves_libtorch_out {
        replace_libtorch(home, &mut entries)?;
    }
    finish(home, entries)
}

fn replace_libtorch(home: &Path, entries: &mut Vec<Entry>) -> Result<()> {
    const PATH: &str = "lib/libtorch.so";
    fs::write(home.join(PATH), LINK_SCRIPT)?;
    entries.retain(|entry| entry.path != PATH);
    entries.push(Entry { path: PATH.into(), bytes: LINK_SCRIPT.len() as u64, sha256: None });
    Ok(())
}

/// Checks that a build can use `home`, then writes its version and record.
pub(super) fn finish(home: &Path, mut entries: Vec<Entry>) -> Result<()> {
    for needed in ["include/torch/csrc/api/include/torch/torch.h", "include/ATen/ATen.h"] {
        if !home.join(needed).is_file() {
            bail!("expected {needed} among what was unpacked, found no such file");
        }
    }
    let version = home.join("build-version");
    if !version.exists() {
        fs::write(&version, VERSION)?;
        entries.push(Entry {
            path: "build-version".into(),
            bytes: VERSION.len() as u64,
            sha256: None,
        });
    }
    record::write(&home.join(RECORD), &entries)
}

impl Wheel {
    /// The whole wheel in `downloads`, fetched where it is not there.
    fn bring(&self, pip: &Pip, downloads: &Path) -> Result<PathBuf> {
        if let Some(path) = self.find(downloads)? {
            match record::expect_hash(&path, self.sha256) {
                Ok(()) => return Ok(path),
                Err(error) => eprintln!("{error}: fetching it again"),
            }
            fs::remove_file(&path)?;
        }
        pip.download(&[format!("{}=={}", self.project, self.version)], true, downloads)?;
        let path = self.find(downloads)?;
        let path = path.with_context(|| {
            format!("pip left no wheel of {} in {}", self.project, downloads.display())
        })?;
        record::expect_hash(&path, self.sha256).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }

    fn find(&self, downloads: &Path) -> Result<Option<PathBuf>> {
        let prefix = format!("{}-{}-", self.project.replace('-', "_"), self.version);
        Ok(wheels_in(downloads)?.into_iter().find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        }))
    }
}

/// Every wheel in `folder`, which may be missing.
pub(super) fn wheels_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = fs::read_dir(folder)?.map(|item| Ok(item?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "whl")).collect())
}

/// The torch wheel of the platform, whole.
pub(super) fn torch_wheel(pip: &Pip, downloads: &Path) -> Result<PathBuf> {
    pip.platform.wheels[0].bring(pip, downloads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    mod with_a_script_for_python {
        use super::*;
        use crate::setup::libtorch::platform::Platform;
        use crate::setup::libtorch::wheel::place_torch;
        use std::os::unix::fs::PermissionsExt;

        fn pip_that(dir: &Path, script: &str) -> Pip {
            let python = dir.join("python");
            fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
            Pip { python, resumes: false, platform: Platform::here().unwrap() }
        }

        fn wheel_of_abc() -> Wheel {
            let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            Wheel { project: "a-b", version: "1", sha256, place: place_torch }
        }

        #[test]
        fn a_failed_download_is_tried_again() {
            let dir = tempfile::tempdir().unwrap();
            let downloads = dir.path().join("downloads");
            let (once, file) = (dir.path().join("once"), downloads.join("a_b-1-any.whl"));
            let script =
                format!("[ -e {once:?} ] || {{ touch {once:?}; exit 1; }}; printf abc > {file:?}");
            assert_eq!(
                wheel_of_abc().bring(&pip_that(dir.path(), &script), &downloads).unwrap(),
                file
            );
            let never = pip_that(dir.path(), "exit 1");
            assert_eq!(
                wheel_of_abc().bring(&never, &downloads).unwrap(),
                file,
                "a whole wheel is not fetched again"
            );
        }

        #[test]
        fn wrong_bytes_are_removed_and_named() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a_b-1-any.whl");
            fs::write(&file, "old").unwrap();
            let pip = pip_that(dir.path(), &format!("printf new > {file:?}"));
            let error = wheel_of_abc().bring(&pip, dir.path()).unwrap_err().to_string();
            assert!(error.contains("expected SHA-256 ba7816"), "{error}");
            assert!(!file.exists());
        }

        #[test]
        fn no_wheel_at_all_is_an_error() {
            let dir = tempfile::tempdir().unwrap();
            let error = wheel_of_abc()
                .bring(&pip_that(dir.path(), "exit 0"), dir.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains("pip left no wheel of a-b"), "{error}");
        }
    }
}
