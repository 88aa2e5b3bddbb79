//! A bundle that runs on the CPU, from a copy in an empty folder, and the page that tells of it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::folder::{copied, files, mib};
use crate::lab::machine::Origin;
use crate::lab::page;
use crate::lab::program::Profile;
use crate::process;
use crate::setup::libtorch;
use crate::workspace;

/// What a check runs: a checkpoint there and back, and a step by recomputing.
const CASES: &str = "there_and_back gradient_checkpointing";
/// Lines of a stage's log that the page shows.
const LINES: usize = 40;

/// How a stage ended.
#[derive(Debug, PartialEq)]
struct Stage {
    name: String,
    code: i32,
    seconds: u64,
    log: String,
}

/// Runs all stages of `bundle` with `python`, and writes `page`.
pub(super) fn rehearse(
    bundle: &Path,
    profile: Profile,
    python: &Path,
    page: &Path,
) -> Result<ExitCode> {
    let folder = copy_of(bundle)?;
    let mut command = script(folder.path());
    command.env("PYTHON", found(python));
    let start = Instant::now();
    let status = command.status().with_context(|| process::shown(&command))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("rehearsed in {seconds:.0} s");
    let stages = stages(&folder.path().join("results"))?;
    let text = without_prefix(python, &text(bundle, folder.path(), &stages, seconds)?);
    write(&workspace::root().join(page), profile, &text)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the first stages of `bundle`, without Python and with few cases.
pub(super) fn check(bundle: &Path) -> Result<ExitCode> {
    let folder = copy_of(bundle)?;
    let mut command = script(folder.path());
    let libraries = libtorch::home::linked_libraries();
    command.env("LIBRARIES", libraries).env("ONLY", "doctor parity").env("CASES", CASES);
    let status = command.status().with_context(|| process::shown(&command))?;
    let stages = stages(&folder.path().join("results"))?;
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    if !status.success() || names != ["doctor", "parity"] {
        stages.iter().for_each(|stage| println!("--- {}\n{}", stage.name, stage.log));
        bail!("gpu bundle: expected doctor and parity to pass, found {names:?} and {status}");
    }
    Ok(ExitCode::SUCCESS)
}

fn copy_of(bundle: &Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for path in files(bundle)? {
        copied(&path, &folder.path().join(workspace::below(bundle, &path)))?;
    }
    Ok(folder)
}

/// The stages of the bundle in `folder` on the CPU, with nothing of this checkout in sight.
fn script(folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(folder.join("run.sh")).arg("cpu").arg(folder.join("results"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).current_dir(folder).stdin(Stdio::null());
    command
}

/// What `stages.tsv` says, with the logs.
fn stages(results: &Path) -> Result<Vec<Stage>> {
    let path = results.join("stages.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| stage(results, line)).collect()
}

fn stage(results: &Path, line: &str) -> Result<Stage> {
    let expected = || format!("expected name, code and seconds, found `{line}`");
    let mut cells = line.split('\t');
    let mut cell = || cells.next().with_context(expected);
    let (name, code, seconds) = (cell()?.to_owned(), cell()?.parse()?, cell()?.parse()?);
    let path = results.join(format!("{name}.log"));
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(Stage { name, code, seconds, log: String::from_utf8_lossy(&bytes).into_owned() })
}

fn text(bundle: &Path, folder: &Path, stages: &[Stage], seconds: f64) -> Result<String> {
    let mut text = String::from("| file of the bundle | size |\n|---|---:|\n");
    let mut all = 0;
    for path in files(bundle)? {
        let bytes = path.metadata().with_context(|| path.display().to_string())?.len();
        all += bytes;
        if bytes >= 1 << 20 {
            text += &format!("| `{}` | {} |\n", workspace::below(bundle, &path), mib(bytes));
        }
    }
    text += &format!("| all | {} |\n\n| stage | ended | seconds |\n|---|---|---:|\n", mib(all));
    for Stage { name, code, seconds, .. } in stages {
        let ended = match code {
            0 => "passed".into(),
            124 | 137 => "at its limit of time".into(),
            code => format!("failed ({code})"),
        };
        text += &format!("| {name} | {ended} | {seconds} |\n");
    }
    text += &format!("| all | | {seconds:.0} |\n\n{}\n", page::origin_line(&Origin::read()));
    for Stage { name, log, .. } in stages {
        let shown = last_lines(&log.replace(&folder.display().to_string(), "."), LINES);
        text += &format!("\n## {name}\n\n```text\n{shown}\n```\n");
    }
    Ok(text)
}

/// The last `count` lines of what a program printed, without what it drew over.
fn last_lines(log: &str, count: usize) -> String {
    let lines = log.lines().map(|line| line.rsplit('\r').next().unwrap_or_default().trim_end());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn write(path: &Path, profile: Profile, text: &str) -> Result<()> {
    let old = std::fs::read_to_string(path).ok();
    let (dev, programs) = match profile {
        Profile::Release => ("", "Programs are those for release."),
        Profile::Dev => (
            " --dev",
            "Programs are built as for tests: times and sizes are larger than those for release.",
        ),
    };
    let command = format!("cargo xtask gpu --rehearse{dev} --python PYTHON");
    let block = page::generated(&command, &format!("{programs}\n\n{text}"));
    page::write(path, &page::renew(old.as_deref(), "The rehearsal of the GPU bundle", &block)?)
}

/// The text without the folder of an environment of Python, which is one machine's.
fn without_prefix(python: &Path, text: &str) -> String {
    let python = found(python);
    match python.parent().and_then(Path::parent) {
        Some(prefix) if prefix.parent().is_some() => {
            text.replace(&prefix.display().to_string(), "ENVIRONMENT")
        }
        _ => text.to_owned(),
    }
}

/// A path is meant from here, a name from the search path.
fn found(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.into(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_with_their_logs() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("stages.tsv", "doctor\t0\t2\nparity\t124\t180\n");
        put("doctor.log", "fine\n");
        put("parity.log", "");
        let found = stages(folder.path()).unwrap();
        assert_eq!(found.len(), 2);
        let doctor = Stage { name: "doctor".into(), code: 0, seconds: 2, log: "fine\n".into() };
        assert_eq!(found[0], doctor);
        let page = text(folder.path(), folder.path(), &found, 3.4).unwrap();
        assert!(page.contains("| doctor | passed | 2 |\n| parity | at its limit of time | 180 |"));
        assert!(page.contains("## doctor\n\n```text\nfine\n```"), "{page}");
        put("stages.tsv", "doctor\n");
        assert!(stages(folder.path()).unwrap_err().to_string().contains("found `doctor`"));
    }

    #[test]
    fn the_folder_of_an_environment_is_not_shown() {
        let shown = without_prefix(Path::new("/a/venv/bin/python"), "in /a/venv/lib/torch");
        assert_eq!(shown, "in ENVIRONMENT/lib/torch");
        assert_eq!(without_prefix(Path::new("python3"), "in /usr/lib"), "in /usr/lib");
    }

    #[test]
    fn what_a_bar_drew_over_is_left_out() {
        assert_eq!(last_lines("a\n\n1 %\r2 %\nb\n", 2), "2 %\nb");
    }
}
