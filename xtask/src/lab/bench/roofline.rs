//! `cargo xtask bench --roofline`: groups of kernels of a training step beside what the machine can
//! do. `benches/src/bin/roofline` measures, here is the page.

mod page;
mod plot;
mod run;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::flags::Bench;
use super::setting::Setting;
use crate::lab::program;
use crate::process;
use crate::setup::ensure;
use run::{Piece, Run};

/// Runs the command.
///
/// # Errors
/// Several numbers of tasks, images or pixels, a program that fails, or results that cannot be
/// written.
pub(super) fn run(flags: &Bench) -> Result<ExitCode> {
    let settings = settings(flags)?;
    if flags.dry_run {
        let shown =
            |setting| process::shown(&command(Path::new("roofline"), setting, flags.rounds));
        settings.iter().for_each(|setting| println!("would run `{}`", shown(setting)));
        return Ok(ExitCode::SUCCESS);
    }
    ensure::libtorch()?;
    let measures = program::built("polyptych-benches", "roofline")?;
    for setting in settings {
        let run = measure(command(&measures, &setting, flags.rounds), setting)?;
        println!("{run}");
        page::note(&flags.out, run)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One for each type.
fn settings(flags: &Bench) -> Result<Vec<Setting>> {
    let tasks = one("--tasks", &flags.tasks)?;
    let batch = one("--batch", &flags.batch)?;
    let size = one("--size", &flags.size)?;
    let threads = flags.threads;
    let setting = |precision: &String| {
        let (precision, device) = (precision.clone(), flags.device.clone());
        Setting { precision, tasks, batch, size, threads, device }
    };
    Ok(flags.precision.iter().map(setting).collect())
}

fn one(flag: &str, numbers: &[usize]) -> Result<usize> {
    match numbers {
        [number] => Ok(*number),
        _ => bail!("{flag}: expected one number beside --roofline, found {numbers:?}"),
    }
}

fn command(program: &Path, setting: &Setting, rounds: u64) -> Command {
    let mut command = Command::new(program);
    command.args(setting.args()).args(["--rounds", &rounds.to_string()]);
    setting.limit(command)
}

#[derive(Deserialize)]
struct Versions {
    versions: String,
}

fn measure(mut command: Command, setting: Setting) -> Result<Run> {
    let name = process::shown(&command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| name.clone())?;
    if !output.status.success() {
        bail!("`{name}` failed: {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text, setting).with_context(|| format!("`{name}`"))
}

/// The first line tells versions, each of the others a piece.
fn read(text: &str, setting: Setting) -> Result<Run> {
    let mut lines = text.lines();
    let first = lines.next().context("expected a line of versions, found nothing")?;
    let Versions { versions } =
        serde_json::from_str(first).with_context(|| format!("said `{first}`"))?;
    let piece = |line: &str| -> Result<Piece> {
        serde_json::from_str(line).with_context(|| format!("said `{line}`"))
    };
    Run::new(setting, versions, lines.map(piece).collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::run::tests::{LINES, setting};
    use super::*;

    #[test]
    fn lines_become_pieces() {
        let run = read(LINES, setting()).unwrap();
        assert_eq!(run.to_string().lines().count(), 4, "{run}");
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let refused = |text: &str| format!("{:#}", read(text, setting()).unwrap_err());
        assert_eq!(refused(""), "expected a line of versions, found nothing");
        let message = refused("{\"versions\": \"LibTorch 1\"}\nouch");
        assert!(message.starts_with("said `ouch`"), "{message}");
        let message = refused("{\"versions\": \"LibTorch 1\"}");
        assert_eq!(message, "products: expected a ceiling, found none");
        let message = refused(&LINES.replace("[0.5, 0.25]", "[]"));
        assert_eq!(message, "copy: expected times above 0, found none");
    }

    #[test]
    fn one_setting_is_measured_for_each_type() {
        use clap::Parser;
        let flags = |args: &[&str]| {
            Bench::try_parse_from(["bench", "--roofline"].iter().chain(args)).unwrap()
        };
        let both = flags(&["--precision", "fp32,bf16"]);
        let shown: Vec<String> = settings(&both)
            .unwrap()
            .iter()
            .map(|setting| process::shown(&command(Path::new("roofline"), setting, both.rounds)))
            .collect();
        assert_eq!(shown.len(), 2);
        assert!(shown[1].ends_with("--threads 1 --precision bf16 --rounds 11"), "{}", shown[1]);
        let message = settings(&flags(&["--tasks", "1,8"])).unwrap_err().to_string();
        assert_eq!(message, "--tasks: expected one number beside --roofline, found [1, 8]");
    }
}
