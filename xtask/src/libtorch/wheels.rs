//! LibTorch out of the wheels that PyTorch publishes, through pip and with pinned hashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{RECORD, VERSION};
use crate::record::{self, Entry};
use crate::unpack::{Format, unpack};
use crate::process;

/// A wheel with its hash, and where its files go.
struct Wheel {
    project: &'static str,
    version: &'static str,
    sha256: &'static str,
    place: fn(&str) -> Option<String>,
}

// `libtorch_cpu.so` of this build needs the last two even where there is no GPU.
const WHEELS: [Wheel; 3] = [
    Wheel {
        project: "torch",
        version: VERSION,
        sha256: "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
        place: place_torch,
    },
    Wheel {
        project: "nvidia-cuda-runtime",
        version: "13.0.96",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        place: place_nvidia,
    },
    Wheel {
        project: "nvidia-cuda-cupti",
        version: "13.0.85",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        place: place_nvidia,
    },
];

/// Platform tags the wheels carry; pip takes no newer glibc for granted than these say.
const PLATFORMS: [&str; 5] = [
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
];

/// What the wheels unpack to, and more than enough of it.
pub(super) const UNPACKED_LIMIT: u64 = 8 << 30;

/// The largest wheel is 530 MB, so a line that drops now and then is to be expected.
const ATTEMPTS: u32 = 3;

/// Fails where the wheels do not fit this machine.
pub(crate) fn supported() -> Result<()> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Ok(());
    }
    bail!(
        "no pinned LibTorch for {} {}: set LIBTORCH to a LibTorch {VERSION}, or pass `--archive PATH|URL`",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

fn place_torch(name: &str) -> Option<String> {
    let wanted = ["libtorch_cpu.so", "libtorch.so", "libc10.so", "libgomp.so.1"];
    let inside = name.strip_prefix("torch/")?;
    let library = inside.strip_prefix("lib/").is_some_and(|file| wanted.contains(&file));
    (library || inside.starts_with("include/")).then(|| inside.to_owned())
}

fn place_nvidia(name: &str) -> Option<String> {
    let file = name.rsplit('/').next()?;
    ["libcudart.so.13", "libcupti.so.13"].contains(&file).then(|| format!("lib/{file}"))
}

/// Fills the empty folder `home`; wheels that lie whole in `downloads` are not fetched again.
pub(crate) fn from_wheels(pip: &Pip, downloads: &Path, home: &Path) -> Result<()> {
    let mut entries = Vec::new();
    for wheel in &WHEELS {
        let path = pip.wheel(wheel, downloads)?;
        eprintln!("unpacking {} {}", wheel.project, wheel.version);
        entries.extend(unpack(&path, Format::Zip, home, UNPACKED_LIMIT, &wheel.place)?);
    }
    finish(home, entries)
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
        entries.push(Entry { path: "build-version".into(), bytes: VERSION.len() as u64, sha256: None });
    }
    record::write(&home.join(RECORD), &entries)
}

/// `python3 -m pip`, which knows the user's index, proxy and certificates.
pub(crate) struct Pip {
    python: PathBuf,
    resumes: bool,
}

impl Pip {
    /// The pip of `python`.
    pub(crate) fn of(python: &str) -> Result<Pip> {
        let version = process::output(Command::new(python).args(["-m", "pip", "--version"]));
        let version = version.with_context(|| {
            format!("`{python} -m pip --version` fails: install Python 3 with pip, or pass `--archive PATH|URL`")
        })?;
        Ok(Pip { python: python.into(), resumes: resumes(&version) })
    }

    fn wheel(&self, wheel: &Wheel, downloads: &Path) -> Result<PathBuf> {
        if let Some(path) = find(downloads, wheel)? {
            match record::expect_hash(&path, wheel.sha256) {
                Ok(()) => return Ok(path),
                Err(error) => eprintln!("{error}: fetching it again"),
            }
            fs::remove_file(&path)?;
        }
        self.download(&[format!("{}=={}", wheel.project, wheel.version)], true, downloads)?;
        let path = find(downloads, wheel)?;
        let path = path.with_context(|| format!("pip left no wheel of {} in {}", wheel.project, downloads.display()))?;
        record::expect_hash(&path, wheel.sha256).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }

    /// Downloads wheels for `requirements`, with or without what these require.
    pub(super) fn download(&self, requirements: &[String], alone: bool, into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let mut failure = None;
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                eprintln!("pip failed, attempt {attempt} of {ATTEMPTS}");
            }
            match process::step(&mut self.command(requirements, alone, into)) {
                Ok(()) => return Ok(()),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn command(&self, requirements: &[String], alone: bool, into: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]);
        // Pip's own cache would keep a second copy of 530 MB.
        command.args(["--no-cache-dir", "--python-version", "3.12", "--implementation", "cp"]);
        command.args(PLATFORMS.iter().flat_map(|platform| ["--platform", platform]));
        command.args(alone.then_some("--no-deps"));
        if self.resumes {
            command.args(["--resume-retries", "10"]);
        }
        command.arg("--dest").arg(into).args(requirements);
        command
    }
}

// `pip 25.1 from …`: the first that goes on where a download was cut.
fn resumes(version: &str) -> bool {
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (25, 1)
}

fn find(downloads: &Path, wheel: &Wheel) -> Result<Option<PathBuf>> {
    let prefix = format!("{}-{}-", wheel.project.replace('-', "_"), wheel.version);
    Ok(wheels_in(downloads)?.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    }))
}

/// Every wheel in `folder`, which may be missing.
pub(super) fn wheels_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = fs::read_dir(folder)?.map(|item| Ok(item?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "whl")).collect())
}

/// The torch wheel of [`WHEELS`], whole.
pub(super) fn torch_wheel(pip: &Pip, downloads: &Path) -> Result<PathBuf> {
    pip.wheel(&WHEELS[0], downloads)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_a_program_needs_is_placed() {
        assert_eq!(place_torch("torch/lib/libc10.so").as_deref(), Some("lib/libc10.so"));
        assert_eq!(place_torch("torch/include/ATen/ATen.h").as_deref(), Some("include/ATen/ATen.h"));
        for left_out in ["torch/lib/libtorch_cuda.so", "torch/__init__.py", "functorch/x.py", "torch/lib/libtorch_cpu.so.x"] {
            assert_eq!(place_torch(left_out), None, "{left_out}");
        }
        assert_eq!(place_nvidia("nvidia/cu13/lib/libcupti.so.13").as_deref(), Some("lib/libcupti.so.13"));
        assert_eq!(place_nvidia("nvidia/cu13/lib/libcudart_static.a"), None);
    }

    #[test]
    fn pip_resumes_from_25_1_on() {
        assert!(resumes("pip 25.1 from somewhere") && resumes("pip 26.0.1 from somewhere"));
        assert!(!resumes("pip 25.0.1 from somewhere") && !resumes("pip 23.2.1 from somewhere") && !resumes(""));
    }

    #[test]
    fn a_python_without_pip_is_named() {
        let error = Pip::of("false").err().unwrap().to_string();
        assert!(error.contains("`false -m pip --version` fails") && error.contains("--archive"), "{error}");
    }

    #[cfg(unix)]
    mod with_a_script_for_python {
        use super::*;
        use std::os::unix::fs::PermissionsExt;

        fn pip_that(dir: &Path, script: &str) -> Pip {
            let python = dir.join("python");
            fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
            Pip { python, resumes: false }
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
            let script = format!("[ -e {once:?} ] || {{ touch {once:?}; exit 1; }}; printf abc > {file:?}");
            assert_eq!(pip_that(dir.path(), &script).wheel(&wheel_of_abc(), &downloads).unwrap(), file);
            let never = pip_that(dir.path(), "exit 1");
            assert_eq!(never.wheel(&wheel_of_abc(), &downloads).unwrap(), file, "a whole wheel is not fetched again");
        }

        #[test]
        fn wrong_bytes_are_removed_and_named() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("a_b-1-any.whl");
            fs::write(&file, "old").unwrap();
            let pip = pip_that(dir.path(), &format!("printf new > {file:?}"));
            let error = pip.wheel(&wheel_of_abc(), dir.path()).unwrap_err().to_string();
            assert!(error.contains("expected SHA-256 ba7816"), "{error}");
            assert!(!file.exists());
        }

        #[test]
        fn no_wheel_at_all_is_an_error() {
            let dir = tempfile::tempdir().unwrap();
            let error = pip_that(dir.path(), "exit 0").wheel(&wheel_of_abc(), dir.path()).unwrap_err().to_string();
            assert!(error.contains("pip left no wheel of a-b"), "{error}");
        }
    }
}
