//! `cargo xtask test`: every test of the workspace.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::flags::Test;
use crate::{libtorch, process, workspace};

/// Runs the command.
pub(crate) fn run(flags: &Test) -> Result<ExitCode> {
    libtorch::ensure()?;
    process::become_child(&mut command(&flags.extra))
}

fn command(extra: &[String]) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root()).arg("test");
    // Tests run side by side already; a team of LibTorch threads in each would only wait.
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        command.env("OMP_NUM_THREADS", "1");
    }
    // Naming packages narrows the run, which `--workspace` would not allow.
    let narrowed = extra.iter().any(|arg| arg == "-p" || arg.starts_with("--package"));
    command.args((!narrowed).then_some("--workspace")).args(extra);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_a_package_narrows_the_run() {
        let shown = |extra: &[&str]| {
            process::shown(&command(&extra.iter().map(|&arg| arg.into()).collect::<Vec<_>>()))
        };
        assert!(shown(&["--", "--nocapture"]).ends_with("test --workspace -- --nocapture"));
        assert!(shown(&["-p", "polyptych-data"]).ends_with("test -p polyptych-data"));
    }
}
