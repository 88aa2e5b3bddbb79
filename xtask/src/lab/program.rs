//! The `polyptych` program of a job.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// Where `polyptych` is.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) PathBuf);

impl Program {
    /// The name alone, to show commands.
    pub(crate) fn undecided() -> Self {
        Self("polyptych".into())
    }

    /// Builds `polyptych` and keeps it in `folder`: a job uses one program, whatever is built
    /// while it runs.
    pub(crate) fn build(folder: &Path) -> Result<Self> {
        ensure::libtorch()?;
        let built = built("polyptych-cli", "polyptych")?;
        let kept = folder.join(format!("polyptych{}", std::env::consts::EXE_SUFFIX));
        if kept.exists() {
            std::fs::remove_file(&kept).with_context(|| kept.display().to_string())?;
        }
        std::fs::copy(&built, &kept).with_context(|| kept.display().to_string())?;
        // A path without a separator, or below a link, is looked up elsewhere.
        Ok(Self(std::path::absolute(kept)?))
    }

    /// A call of the program.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(verb);
        command
    }
}

/// Builds the program `name` of `package` and says where it lies.
pub(crate) fn built(package: &str, name: &str) -> Result<PathBuf> {
    built_with(package, name, &[])
}

/// The same with these variables for the build.
pub(crate) fn built_with(package: &str, name: &str, vars: &[(&str, &str)]) -> Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command.envs(vars.iter().copied());
    command.args(["build", "--release", "--package", package, "--bin", name]);
    program_of(command)
}

/// Builds the test program `name` of `package` and says where it lies.
pub(crate) fn built_test(package: &str, name: &str) -> Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command.args(["test", "--no-run", "--release", "--package", package, "--test", name]);
    program_of(command)
}

/// Runs cargo, and finds the program that it made.
fn program_of(mut command: Command) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().with_context(|| process::shown(&command))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&command), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = messages.lines().rev().find_map(executable);
    found.with_context(|| format!("`{}`: expected a program, found none", process::shown(&command)))
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    Some(PathBuf::from(message.get("executable")?.as_str()?))
}

/// Keeps a second job out of `folder` until the file is dropped.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("job.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    if fs4::FileExt::try_lock(&file).is_err() {
        bail!("{}: expected no other job, found one that runs", folder.display());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_in_the_last_message_that_has_one() {
        assert_eq!(executable(r#"{"executable":"a/polyptych"}"#), Some("a/polyptych".into()));
        assert_eq!(executable(r#"{"executable":null}"#), None);
        assert_eq!(executable("text"), None);
    }

    #[test]
    fn a_second_job_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(lock(folder.path()).unwrap_err().to_string().contains("found one that runs"));
        drop(held);
        lock(folder.path()).unwrap();
    }
}
