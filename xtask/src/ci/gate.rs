//! `cargo xtask ci`: everything that must pass before a change lands, cheapest first.

use std::ffi::OsStr;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::tidy;
use crate::workspace;

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

// After the tests, which have built the program that it asks.
const SITE: Step = step(&["xtask", "docs", "--check"]);

// As the site: of programs that the tests have built.
const BUNDLE: Step = step(&["xtask", "gpu", "--check"]);

const STEPS: &[Step] = &[FORMAT, FUZZ_LOCK, CLIPPY, DOC, step(&["xtask", "test"]), SITE, BUNDLE];

/// Everything that must pass before a change lands, cheapest first
#[derive(Parser)]
#[command(name = "ci")]
pub(crate) struct Ci {
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Ci {
    fn run(flags: &Self) -> Result<ExitCode> {
        let cargo = workspace::cargo();
        if flags.dry_run {
            println!("would check the rules of `cargo xtask tidy`");
            STEPS.iter().for_each(|step| {
                println!("would run `{}`", process::shown(&step.command(&cargo)));
            });
            return Ok(ExitCode::SUCCESS);
        }
        gate(tidy::run, ensure::libtorch, &cargo)?;
        println!("ci: all passed");
        Ok(ExitCode::SUCCESS)
    }
}

/// Everything, by the `cargo` given; the first failure ends it.
fn gate(
    tidy: impl FnOnce() -> Result<ExitCode>,
    set_up: impl FnOnce() -> Result<()>,
    cargo: &OsStr,
) -> Result<()> {
    timed("tidy", || {
        if tidy()? != ExitCode::SUCCESS {
            bail!("`cargo xtask tidy` failed");
        }
        Ok(())
    })?;
    timed("set-up", set_up)?;
    STEPS.iter().try_for_each(|step| step.run(cargo))
}

impl Step {
    fn command(&self, cargo: &OsStr) -> Command {
        let mut command = workspace::command(cargo);
        command.current_dir(workspace::root()).args(self.args);
        if self.strict_docs {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        command
    }

    fn run(&self, cargo: &OsStr) -> Result<()> {
        let mut command = self.command(cargo);
        let name = process::shown(&command);
        if let Some(component) = self.component
            && !is_installed(cargo, self.args[0])
        {
            bail!(
                "`{name}`: expected {component}, found none; run: rustup component add {component}"
            );
        }
        timed(&name, || process::step(&mut command))
    }
}

/// Toolchains of distributions come without some components: a check that cannot run has failed.
fn is_installed(cargo: &OsStr, subcommand: &str) -> bool {
    process::output(workspace::command(cargo).args([subcommand, "--version"])).is_some()
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
        let cargo = workspace::cargo();
        assert!(process::shown(&CLIPPY.command(&cargo)).ends_with("--all-targets -- -D warnings"));
        let command = DOC.command(&cargo);
        let flags = command.get_envs().find(|(name, _)| *name == "RUSTDOCFLAGS");
        assert_eq!(flags.unwrap().1.unwrap(), "-D warnings");
    }

    #[test]
    fn a_subcommand_that_is_not_there_is_noticed() {
        let cargo = workspace::cargo();
        assert!(!is_installed(&cargo, "no-such-subcommand"));
        let absent = Step { component: Some("nothing"), ..step(&["no-such-subcommand"]) };
        let message = absent.run(&cargo).unwrap_err().to_string();
        assert!(message.ends_with("found none; run: rustup component add nothing"), "{message}");
    }

    #[cfg(unix)]
    mod with_a_script_for_cargo {
        use std::ffi::OsString;
        use std::fs;
        use std::os::unix::fs::PermissionsExt;
        use std::path::Path;

        use super::*;

        /// A cargo that notes what it is given, and fails where that begins with `broken`.
        fn cargo_without(broken: &str, folder: &Path) -> OsString {
            let (path, log) = (folder.join("cargo"), folder.join("log"));
            let script = format!(
                "#!/bin/sh\necho \"$*\" >> {log:?}\ncase \"$*\" in {broken:?}*) exit 1;; esac\n"
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.into()
        }

        /// What the gate says, and the commands that it ran.
        fn through(broken: &str, tidy: ExitCode) -> (Result<()>, Vec<String>) {
            let folder = tempfile::tempdir().unwrap();
            let cargo = cargo_without(broken, folder.path());
            let outcome = gate(|| Ok(tidy), || Ok(()), &cargo);
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            (outcome, log.lines().map(str::to_owned).collect())
        }

        #[test]
        fn everything_runs_where_nothing_fails() {
            let (outcome, ran) = through("nothing", ExitCode::SUCCESS);
            outcome.unwrap();
            let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let ran: Vec<String> = ran.iter().map(|line| words(line)).collect();
            let clippy = ["clippy --version", "clippy --workspace"];
            let rest = ["doc --workspace", "xtask test", "xtask docs", "xtask gpu"];
            let format = ["fmt --version", "fmt --all", "tree --quiet"];
            assert_eq!(ran, [&format[..], &clippy, &rest].concat());
        }

        #[test]
        fn each_failing_step_fails_the_gate_and_ends_it() {
            let broken = ["fmt --all --check", "tree", "clippy --workspace", "doc", "xtask test"];
            for broken in broken.into_iter().chain(["xtask docs", "xtask gpu"]) {
                let (outcome, ran) = through(broken, ExitCode::SUCCESS);
                let message = outcome.unwrap_err().to_string();
                assert!(message.starts_with(&format!("`cargo {broken}")), "{message}");
                assert!(message.contains("failed"), "{message}");
                assert!(ran.last().unwrap().starts_with(broken), "{ran:?}");
            }
        }

        #[test]
        fn a_toolchain_without_rustfmt_or_clippy_fails_the_gate() {
            for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
                let (outcome, ran) = through(&format!("{command} --version"), ExitCode::SUCCESS);
                let message = outcome.unwrap_err().to_string();
                let expected = format!("expected {component}, found none");
                assert!(message.contains(&expected), "{message}");
                assert_eq!(ran.last().unwrap(), &format!("{command} --version"));
            }
        }

        #[test]
        fn breaches_of_tidy_and_a_failed_set_up_fail_the_gate_before_anything_runs() {
            let (outcome, ran) = through("nothing", ExitCode::FAILURE);
            assert_eq!(outcome.unwrap_err().to_string(), "`cargo xtask tidy` failed");
            assert_eq!(ran, [] as [&str; 0]);
            let no_set_up = || bail!("no disk");
            let outcome = gate(|| Ok(ExitCode::SUCCESS), no_set_up, OsStr::new("no-such-cargo"));
            assert_eq!(outcome.unwrap_err().to_string(), "no disk");
        }

        #[test]
        fn without_cargo_the_gate_fails() {
            let cargo = OsStr::new("no-such-cargo");
            assert!(gate(|| Ok(ExitCode::SUCCESS), || Ok(()), cargo).is_err());
        }
    }
}
