//! `cargo xtask test`: every test of the workspace, and every example.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Parser;

use super::{examples, programs};
use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// Run every test of the workspace, and every example
#[derive(Parser)]
#[command(name = "test")]
pub(crate) struct Test {
    /// Passed on to `cargo test --workspace`; examples do not run then
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) extra: Vec<String>,
}

impl Subcommand for Test {
    fn run(flags: &Self) -> Result<ExitCode> {
        ensure::libtorch()?;
        if !flags.extra.is_empty() {
            return process::become_child(&mut command(&flags.extra));
        }
        programs::run(command(&[]))?;
        process::step(&mut command(&["--doc".into()]))?;
        examples::run()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn command(extra: &[String]) -> Command {
    let mut command = workspace::cargo_command();
    command.current_dir(workspace::root()).arg("test");
    programs::one_thread(&mut command);
    // Naming packages narrows the run, which `--workspace` would not allow.
    let narrowed = extra.iter().any(|arg| arg == "-p" || arg.starts_with("--package"));
    command.args((!narrowed).then_some("--workspace")).args(extra);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_passed_on() {
        let flags = Test::try_parse_from(["test", "-p", "x", "--", "--nocapture"]).unwrap();
        assert_eq!(flags.extra, ["-p", "x", "--", "--nocapture"]);
    }

    #[test]
    fn naming_a_package_narrows_the_run() {
        let shown = |extra: &[&str]| {
            process::shown(&command(&extra.iter().map(|&arg| arg.into()).collect::<Vec<_>>()))
        };
        assert!(shown(&["--", "--nocapture"]).ends_with("test --workspace -- --nocapture"));
        assert!(shown(&["-p", "polyptych-data"]).ends_with("test -p polyptych-data"));
    }
}
