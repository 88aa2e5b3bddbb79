//! `polyptych data`: whether a data set is fit to learn from.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use polyptych_engine::{Problem, Survey, survey};

use crate::flags::{DataCheckFlags, DataCommand};
use crate::output::say;

pub(crate) fn run(command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Check(flags) => check(flags),
    }
}

fn check(flags: &DataCheckFlags) -> Result<ExitCode> {
    let bar = bar();
    let progress = |split: &str, done: usize, len: usize| {
        bar.set_length(len as u64);
        bar.set_position(done as u64);
        if done == 1 {
            bar.set_message(split.to_owned());
        }
    };
    let survey = survey(
        &flags.manifest,
        flags.root.as_deref(),
        flags.follow_links,
        &flags.splits,
        &progress,
    )?;
    bar.finish_and_clear();
    for problem in &survey.problems {
        say!("{}", line(problem));
    }
    say!("{}", summary(&survey));
    let good = survey.problems.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} eta {eta} {msg}");
    ProgressBar::new(0).with_style(style.expect("the template is a constant"))
}

/// One line, whatever a file is called.
fn line(problem: &Problem) -> String {
    let split = problem.split.as_ref().map(|split| format!("{split}: ")).unwrap_or_default();
    format!("{split}{}", problem.error).replace(['\n', '\r'], " ")
}

fn summary(survey: &Survey) -> String {
    let splits = survey.samples.iter().map(|(split, len)| format!("{split} {len}"));
    let splits = splits.collect::<Vec<_>>().join(", ");
    format!("samples: {splits}; problems: {}", survey.problems.len())
}
