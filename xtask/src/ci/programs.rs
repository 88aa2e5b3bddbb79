//! Test programs, several at a time.
//!
//! `cargo test` runs one after the other. Many of ours hold a lock for most of their time, since
//! LibTorch has one generator of random numbers per process, and so leave cores idle.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::workspace;

/// More would only compete for memory.
const MOST_AT_A_TIME: usize = 4;

/// A test program that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    /// The folder of its package, in which it runs.
    package: PathBuf,
    /// The file with its `main`, below the package.
    source: String,
}

/// Builds the test programs by `build` and runs them all; standard output has that of each in one
/// piece, in the order in which they end.
///
/// # Errors
/// A build that fails; the names of the programs that fail.
pub(super) fn run(mut build: Command) -> Result<()> {
    build.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = build.output().with_context(|| process::shown(&build))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&build), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    run_all(longest_first(messages.lines().filter_map(program).collect()))
}

/// What a message of cargo says of a test program; none where it is of something else.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    message.pointer("/profile/test")?.as_bool()?.then_some(())?;
    let path = |pointer: &str| Some(PathBuf::from(message.pointer(pointer)?.as_str()?));
    let package = path("/manifest_path")?.parent()?.to_owned();
    let source = workspace::below(&package, &path("/target/src_path")?);
    Some(Program { path: path("/executable")?, package, source })
}

/// Programs of the package that has most of them come first: what remains at the end is short.
fn longest_first(mut programs: Vec<Program>) -> Vec<Program> {
    let mut counts = BTreeMap::<PathBuf, usize>::new();
    for program in &programs {
        *counts.entry(program.package.clone()).or_default() += 1;
    }
    programs.sort_by_key(|program| {
        (std::cmp::Reverse(counts[&program.package]), program.package.clone())
    });
    programs
}

fn run_all(programs: Vec<Program>) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (waiting, failed) = (Mutex::new(programs.into_iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().ok()?.next();
    let worker = || -> Result<()> {
        while let Some(program) = next() {
            if !program.run()?.success()
                && let Ok(mut failed) = failed.lock()
            {
                failed.push(program.name());
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(MOST_AT_A_TIME)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("these test programs failed: {}", failed.join(", "));
    }
    Ok(())
}

impl Program {
    /// Package and file, as in `engine/tests/training/resume.rs`.
    fn name(&self) -> String {
        let package = self.package.file_name().unwrap_or_default();
        format!("{}/{}", package.to_string_lossy(), self.source)
    }

    /// Runs it as cargo would, and prints what it said once it has ended.
    fn run(&self) -> Result<ExitStatus> {
        let mut printed = tempfile::tempfile()?;
        let mut command = Command::new(&self.path);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        one_thread(&mut command);
        command.stdin(Stdio::null()).stdout(printed.try_clone()?).stderr(printed.try_clone()?);
        let status = command.status().with_context(|| process::shown(&command))?;
        let mut text = Vec::new();
        printed.rewind()?;
        printed.read_to_end(&mut text)?;
        println!("     Running {}\n{}", self.name(), String::from_utf8_lossy(&text));
        Ok(status)
    }
}

/// Tests run side by side already: a team of LibTorch's threads in each would only wait.
pub(super) fn one_thread(command: &mut Command) {
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        command.env("OMP_NUM_THREADS", "1");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn message(test: bool, executable: &str) -> String {
        format!(
            r#"{{"manifest_path":"/a/crates/engine/Cargo.toml","profile":{{"test":{test}}},
            "target":{{"src_path":"/a/crates/engine/tests/training/resume.rs"}},"executable":{executable}}}"#
        )
    }

    fn of(package: &str, path: &str) -> Program {
        Program { path: path.into(), package: package.into(), source: "src/lib.rs".into() }
    }

    #[test]
    fn programs_are_the_tests_among_what_cargo_has_built() {
        let found = program(&message(true, r#""/a/target/debug/deps/resume-1""#)).unwrap();
        assert_eq!(found.name(), "engine/tests/training/resume.rs");
        assert_eq!(found.package, Path::new("/a/crates/engine"));
        assert_eq!(program(&message(false, r#""/a/target/debug/polyptych""#)), None);
        assert_eq!(program(&message(true, "null")), None);
        assert_eq!(program("text"), None);
    }

    #[test]
    fn the_package_with_most_programs_comes_first() {
        let sorted = longest_first(vec![of("a", "1"), of("b", "2"), of("c", "3"), of("b", "4")]);
        let paths: Vec<_> = sorted.iter().map(|program| program.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["2", "4", "1", "3"]);
    }

    #[cfg(unix)]
    #[test]
    fn every_program_runs_and_those_that_fail_are_named() {
        run_all(vec![of("/", "true"), of("/", "true")]).unwrap();
        let programs = vec![of("/usr", "false"), of("/", "true"), of("/bin", "false")];
        let message = run_all(programs).unwrap_err().to_string();
        assert!(message.contains("usr/src/lib.rs") && message.contains("bin/src/lib.rs"));
        assert!(run_all(vec![of("/", "no-such-program-at-all")]).is_err());
    }
}
