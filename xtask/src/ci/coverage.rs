//! `cargo xtask coverage`: share of the library crates' lines that the tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::command::Subcommand;
use crate::process;
use crate::setup::ensure;
use crate::workspace;

/// Files that are no library's: programs, benches, tests, and what others wrote.
const LEFT_OUT: &str = "(^|/)(crates/cli|xtask|benches|tests)/|/build\\.rs$";

/// Measure line coverage of the library crates; fails below the threshold
#[derive(Parser)]
#[command(name = "coverage")]
pub(crate) struct Coverage {
    /// Crates to measure, all library crates by default
    #[arg(long = "package", short, value_name = "NAME")]
    pub(crate) packages: Vec<String>,
    /// Lowest share of lines, in percent
    #[arg(long, default_value_t = 85)]
    pub(crate) fail_under_lines: u8,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Coverage {
    fn run(flags: &Self) -> Result<ExitCode> {
        let mut command = command(flags);
        if process::output(workspace::cargo_command().args(["llvm-cov", "--version"])).is_none() {
            bail!("cargo-llvm-cov is not installed; run: cargo install cargo-llvm-cov --locked");
        }
        if let Some(tools) = tools()? {
            eprintln!("LLVM tools: {}", tools.cov.display());
            command.env("LLVM_COV", &tools.cov).env("LLVM_PROFDATA", &tools.profdata);
        }
        if flags.dry_run {
            println!("would run `{}`", process::shown(&command));
            return Ok(ExitCode::SUCCESS);
        }
        ensure::libtorch()?;
        process::become_child(&mut command)
    }
}

fn command(flags: &Coverage) -> Command {
    let mut command = workspace::cargo_command();
    command.current_dir(workspace::root()).args(["llvm-cov", "test"]);
    if flags.packages.is_empty() {
        // xtask's own files are left out, and its tests touch no library.
        command.args(["--workspace", "--exclude", "xtask", "--ignore-filename-regex", LEFT_OUT]);
    } else {
        command.args(flags.packages.iter().flat_map(|package| ["--package", package]));
    }
    command.arg("--fail-under-lines").arg(flags.fail_under_lines.to_string());
    command
}

#[derive(Debug, PartialEq, Eq)]
struct Tools {
    cov: PathBuf,
    profdata: PathBuf,
}

/// The distribution's LLVM tools, or `None` where cargo-llvm-cov finds its own.
fn tools() -> Result<Option<Tools>> {
    let set = |name| std::env::var_os(name).is_some();
    if set("LLVM_COV") && set("LLVM_PROFDATA") {
        return Ok(None);
    }
    let verbose =
        process::output(Command::new("rustc").arg("-vV")).context("`rustc -vV` failed")?;
    if sysroot_has_tools(&verbose).unwrap_or(false) {
        return Ok(None);
    }
    let needed =
        llvm_major(&verbose).context("`rustc -vV`: expected a line `LLVM version`, found none")?;
    let found = candidates().into_iter().filter_map(|tools| Some((major_of(&tools)?, tools)));
    let Some((_, tools)) =
        found.filter(|(major, _)| *major >= needed).max_by_key(|(major, _)| *major)
    else {
        bail!(
            "no llvm-cov and llvm-profdata of LLVM {needed} or newer, which this rustc's profiles need; \
             run: rustup component add llvm-tools, or install your distribution's llvm-{needed}, \
             or set LLVM_COV and LLVM_PROFDATA"
        );
    };
    Ok(Some(tools))
}

fn sysroot_has_tools(verbose: &str) -> Option<bool> {
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "))?;
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Some(Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/llvm-profdata").exists())
}

fn llvm_major(verbose: &str) -> Option<u32> {
    major(verbose.lines().find_map(|line| line.strip_prefix("LLVM version: "))?)
}

fn major(version: &str) -> Option<u32> {
    version.trim().split('.').next()?.parse().ok()
}

/// Pairs on the search path and where distributions put versioned ones.
fn candidates() -> Vec<Tools> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for version in 10..60 {
        folders.push(format!("/usr/lib/llvm-{version}/bin").into());
        folders.push(format!("/usr/lib/llvm{version}/bin").into());
    }
    let pair = |folder: PathBuf| Tools {
        cov: folder.join("llvm-cov"),
        profdata: folder.join("llvm-profdata"),
    };
    folders
        .into_iter()
        .map(pair)
        .filter(|tools| tools.cov.is_file() && tools.profdata.is_file())
        .collect()
}

fn major_of(tools: &Tools) -> Option<u32> {
    let text = process::output(Command::new(&tools.profdata).arg("--version"))?;
    let version = text
        .lines()
        .find_map(|line| line.split_once("LLVM version ").map(|(_, version)| version))?;
    major(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvms_version_is_read_off_rustc() {
        assert_eq!(llvm_major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.95.0\n"), None);
    }

    #[test]
    fn the_threshold_and_packages_are_passed_on() {
        let shown = |packages: &[&str]| {
            let packages = packages.iter().map(|&name| name.into()).collect();
            process::shown(&command(&Coverage { packages, fail_under_lines: 85, dry_run: false }))
        };
        assert!(shown(&[]).contains("--workspace --exclude xtask"));
        assert!(shown(&["xtask"]).ends_with("llvm-cov test --package xtask --fail-under-lines 85"));
    }
}
