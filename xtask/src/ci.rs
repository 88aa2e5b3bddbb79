//! `cargo xtask ci`: everything that must pass before a change lands, cheapest first.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::flags::Ci;
use crate::{libtorch, process, tidy, workspace};

/// A cargo command and the component it comes with, where that is not cargo's own.
struct Step {
    args: &'static [&'static str],
    component: Option<&'static str>,
    /// Warnings are errors, the documentation's too.
    strict_docs: bool,
}

const fn step(args: &'static [&'static str]) -> Step {
    Step { args, component: None, strict_docs: false }
}

const FORMAT: Step = Step { component: Some("rustfmt"), ..step(&["fmt", "--all", "--check"]) };

// All targets: the benches are compiled, not run.
const CLIPPY: Step = Step {
    component: Some("clippy"),
    ..step(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
};

const DOC: Step = Step { strict_docs: true, ..step(&["doc", "--workspace", "--no-deps"]) };

// A package of its own, whose lock file follows the workspace's dependencies.
const FUZZ_LOCK: Step = step(&[
    "tree",
    "--quiet",
    "--locked",
    "--depth=0",
    "--features=libtorch",
    "--manifest-path=benches/fuzz/Cargo.toml",
]);

const STEPS: [Step; 5] = [FORMAT, FUZZ_LOCK, CLIPPY, DOC, step(&["xtask", "test"])];

/// Runs the command; the first failure ends it.
pub(crate) fn run(flags: &Ci) -> Result<ExitCode> {
    if flags.dry_run {
        println!("would check the rules of `cargo xtask tidy`");
        STEPS.iter().for_each(|step| println!("would run `{}`", process::shown(&step.command())));
        return Ok(ExitCode::SUCCESS);
    }
    timed("tidy", || {
        if tidy::run()? == ExitCode::SUCCESS { Ok(()) } else { bail!("`cargo xtask tidy` failed") }
    })?;
    timed("set-up", libtorch::ensure)?;
    STEPS.iter().try_for_each(Step::run)?;
    println!("ci: all passed");
    Ok(ExitCode::SUCCESS)
}

impl Step {
    fn command(&self) -> Command {
        let mut command = Command::new(workspace::cargo());
        command.current_dir(workspace::root()).args(self.args);
        if self.strict_docs {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        command
    }

    fn run(&self) -> Result<()> {
        let mut command = self.command();
        let name = process::shown(&command);
        if let Some(component) = self.component
            && !is_installed(self.args[0])
        {
            bail!(
                "`{name}`: expected {component}, found none; run: rustup component add {component}"
            );
        }
        timed(&name, || process::step(&mut command))
    }
}

/// Toolchains of distributions come without some components: a check that cannot run has failed.
fn is_installed(subcommand: &str) -> bool {
    process::output(Command::new(workspace::cargo()).args([subcommand, "--version"])).is_some()
}

fn timed(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("ci: {name}");
    let start = Instant::now();
    work()?;
    println!("ci: {name}: {:.0} s", start.elapsed().as_secs_f32());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_errors() {
        assert!(process::shown(&CLIPPY.command()).ends_with("--all-targets -- -D warnings"));
        let command = DOC.command();
        let flags = command.get_envs().find(|(name, _)| *name == "RUSTDOCFLAGS");
        assert_eq!(flags.unwrap().1.unwrap(), "-D warnings");
    }

    #[test]
    fn a_subcommand_that_is_not_there_is_noticed() {
        assert!(!is_installed("no-such-subcommand"));
        let absent = Step { component: Some("nothing"), ..step(&["no-such-subcommand"]) };
        let message = absent.run().unwrap_err().to_string();
        assert!(message.ends_with("found none; run: rustup component add nothing"), "{message}");
    }
}
