//! `python3 -m pip download` for machines of the wheels' kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::platform::Platform;
use crate::process;

/// The largest wheel is 530 MB, so a line that drops now and then is to be expected.
const ATTEMPTS: u32 = 3;

/// `python3 -m pip`, which knows the user's index, proxy and certificates.
pub(crate) struct Pip {
    pub(super) python: PathBuf,
    pub(super) resumes: bool,
    /// Of the machine that the wheels are for.
    pub(super) platform: &'static Platform,
}

impl Pip {
    /// The pip of `python`, for wheels of `platform`.
    pub(crate) fn of(python: &str, platform: &'static Platform) -> Result<Pip> {
        let version = process::output(Command::new(python).args(["-m", "pip", "--version"]));
        let version = version.with_context(|| {
            format!("`{python} -m pip --version` fails: install Python 3 with pip, or pass `--archive PATH|URL`")
        })?;
        Ok(Pip { python: python.into(), resumes: resumes(&version), platform })
    }

    /// Downloads wheels for `requirements`, with or without what these require.
    pub(super) fn download(&self, requirements: &[String], alone: bool, into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        for attempt in 1..=ATTEMPTS {
            // The command is too long to repeat in an error, and pip has said what is wrong.
            if process::step(&mut self.command(requirements, alone, into)).is_ok() {
                return Ok(());
            }
            eprintln!("pip failed, attempt {attempt} of {ATTEMPTS}");
        }
        bail!("pip could not bring {}: its own message stands above", requirements.join(" "))
    }

    fn command(&self, requirements: &[String], alone: bool, into: &Path) -> Command {
        let mut command = Command::new(&self.python);
        command.args([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-input",
            "--only-binary=:all:",
        ]);
        // Pip's own cache would keep a second copy of 530 MB.
        command.args(["--no-cache-dir", "--python-version", "3.12", "--implementation", "cp"]);
        command.args(self.platform.tags().into_iter().flat_map(|tag| ["--platform".into(), tag]));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_resumes_from_25_1_on() {
        assert!(resumes("pip 25.1 from somewhere") && resumes("pip 26.0.1 from somewhere"));
        assert!(
            !resumes("pip 25.0.1 from somewhere")
                && !resumes("pip 23.2.1 from somewhere")
                && !resumes("")
        );
    }

    #[test]
    fn a_python_without_pip_is_named() {
        let error = Pip::of("false", Platform::here().unwrap()).err().unwrap().to_string();
        assert!(
            error.contains("`false -m pip --version` fails") && error.contains("--archive"),
            "{error}"
        );
    }
}
