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

    /// Keeps the program `given`, or one that is built now, in `folder`: a job uses one program,
    /// whatever is built while it runs.
    pub(crate) fn given_or_built(given: Option<&Path>, folder: &Path) -> Result<Self> {
        ensure::libtorch()?;
        let built = given.map_or_else(|| built("polyptych-cli", "polyptych"), |p| Ok(p.into()))?;
        let kept = folder.join(format!("polyptych{}", std::env::consts::EXE_SUFFIX));
        // One that an earlier job kept here may be given again.
        if kept.canonicalize().ok() != built.canonicalize().ok() {
            if kept.exists() {
                std::fs::remove_file(&kept).with_context(|| kept.display().to_string())?;
            }
            std::fs::copy(&built, &kept)
                .with_context(|| format!("{} to {}", built.display(), kept.display()))?;
        }
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

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As users run them.
    Release,
    /// As tests do.
    Dev,
}

impl Profile {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Profile::Release => &["--release"],
            Profile::Dev => &[],
        }
    }
}

/// Builds the program `name` of `package` and says where it lies.
pub(crate) fn built(package: &str, name: &str) -> Result<PathBuf> {
    built_with(package, name, &[])
}

/// Builds the program `name` with the features of the whole workspace, as tests do: programs that
/// are built so share what they depend on.
pub(crate) fn built_as(profile: Profile, name: &str) -> Result<PathBuf> {
    let mut command = workspace::cargo_command();
    command.arg("build").args(profile.flags()).args(["--workspace", "--bin", name]);
    if profile == Profile::Dev {
        // A test among the targets turns on the features that tests have, so that what they have
        // built serves.
        command.args(["--test", "devices"]);
    }
    program_of(command, name)
}

/// The same with these variables for the build.
pub(crate) fn built_with(package: &str, name: &str, vars: &[(&str, &str)]) -> Result<PathBuf> {
    let mut command = workspace::cargo_command();
    command.envs(vars.iter().copied());
    command.args(["build", "--release", "--package", package, "--bin", name]);
    program_of(command, name)
}

/// The same for the test program `name`.
pub(crate) fn built_test_as(profile: Profile, name: &str) -> Result<PathBuf> {
    let mut command = workspace::cargo_command();
    command.args(["test", "--no-run"]).args(profile.flags()).args(["--workspace", "--test", name]);
    program_of(command, name)
}

/// Runs cargo, and finds the program `name` that it made.
fn program_of(mut command: Command, name: &str) -> Result<PathBuf> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().with_context(|| process::shown(&command))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&command), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = messages.lines().find_map(|message| executable(message, name));
    found.with_context(|| format!("`{}`: expected a program, found none", process::shown(&command)))
}

/// What a message of cargo says of the program `name`; none where it is of something else.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message.pointer("/target/name")? == name).then_some(())?;
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
    fn the_message_of_a_program_names_its_file() {
        let message = r#"{"target":{"name":"polyptych"},"executable":"a/polyptych"}"#;
        assert_eq!(executable(message, "polyptych"), Some("a/polyptych".into()));
        assert_eq!(executable(message, "worker"), None);
        let library = r#"{"target":{"name":"polyptych"},"executable":null}"#;
        assert_eq!(executable(library, "polyptych"), None);
        assert_eq!(executable("text", "polyptych"), None);
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
