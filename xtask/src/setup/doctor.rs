//! `cargo xtask doctor`: what is there, what is missing, and the command that brings it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

use crate::command::Subcommand;
use crate::process::output;
use crate::setup::libtorch;
use crate::setup::libtorch::user::Choice;
use crate::setup::record::Depth;
use crate::workspace;

/// Set-up keeps a wheel and what it unpacks to side by side for a moment; a build takes the rest.
const NEEDED_GIB: u64 = 5;

/// One line of the screen.
struct Finding {
    name: &'static str,
    state: State,
}

enum State {
    Good(String),
    /// Not there, and not needed either.
    Absent(String),
    Missing {
        what: String,
        remedy: String,
    },
}

/// Say what is there, what is missing, and the command that brings it
#[derive(Parser)]
#[command(name = "doctor")]
pub(crate) struct Doctor {
    /// Hash LibTorch's files, not only their sizes
    #[arg(long)]
    pub(crate) verify: bool,
}

impl Subcommand for Doctor {
    fn run(flags: &Self) -> Result<ExitCode> {
        let depth = if flags.verify { Depth::Hashes } else { Depth::Sizes };
        let findings = [
            Finding { name: "rust", state: rust() },
            Finding { name: "compiler", state: compiler() },
            Finding { name: "python", state: python() },
            Finding { name: "libtorch", state: libtorch_state(depth) },
            Finding { name: "cuda", state: cuda() },
            Finding { name: "disk, cache", state: disk(workspace::cache()) },
            Finding { name: "disk, repo", state: disk(Ok(workspace::root())) },
            Finding { name: "threads", state: threads() },
        ];
        print!("{}", screen(&findings));
        let missing = findings.iter().any(|finding| matches!(finding.state, State::Missing { .. }));
        Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn screen(findings: &[Finding]) -> String {
    findings.iter().map(Finding::line).collect()
}

impl Finding {
    fn line(&self) -> String {
        let name = self.name;
        match &self.state {
            State::Good(what) => format!("ok       {name:<12} {what}\n"),
            State::Absent(what) => format!("-        {name:<12} {what}\n"),
            State::Missing { what, remedy } => {
                format!("MISSING  {name:<12} {what}\n{:22}run: {remedy}\n", "")
            }
        }
    }
}

fn missing(what: impl Into<String>, remedy: impl Into<String>) -> State {
    State::Missing { what: what.into(), remedy: remedy.into() }
}

fn rust() -> State {
    let rustc = output(Command::new("rustc").arg("--version")).unwrap_or_default();
    let cargo = output(workspace::cargo_command().arg("--version")).unwrap_or_default();
    rust_state(env!("CARGO_PKG_RUST_VERSION"), &rustc, &cargo)
}

fn rust_state(required: &str, rustc: &str, cargo: &str) -> State {
    match (release(required), release(rustc)) {
        (required, Some(found)) if Some(found) >= required => {
            State::Good(format!("{rustc}; {cargo}"))
        }
        _ => missing(format!("rustc {required} or newer, found `{rustc}`"), "rustup update stable"),
    }
}

/// Major and minor number of the first version in `text`.
fn release(text: &str) -> Option<(u32, u32)> {
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn compiler() -> State {
    let named = std::env::var("CXX").ok();
    let candidates = named.iter().map(String::as_str).chain(["c++", "g++", "clang++"]);
    let version = |name: &str| {
        output(Command::new(name).arg("--version")).map(|text| (name.to_owned(), text))
    };
    match candidates.filter_map(version).next() {
        Some((name, text)) => {
            State::Good(format!("{name}: {}", text.lines().next().unwrap_or_default()))
        }
        None => missing("a C++ compiler", "sudo apt-get install g++"),
    }
}

fn python() -> State {
    match output(Command::new("python3").args(["-m", "pip", "--version"])) {
        Some(version) => State::Good(version),
        // Only a LibTorch that is still to come needs it.
        None if libtorch_state(Depth::Sizes).is_good() => {
            State::Absent("no python3 with pip; LibTorch is here already".into())
        }
        None => missing("python3 with pip", "sudo apt-get install python3-pip"),
    }
}

impl State {
    fn is_good(&self) -> bool {
        matches!(self, State::Good(_))
    }
}

fn libtorch_state(depth: Depth) -> State {
    let choice = libtorch::user::choice(&workspace::root());
    if choice != Choice::Ours {
        let remedy = format!(
            "unset LIBTORCH LIBTORCH_USE_PYTORCH, or point them at LibTorch {}",
            libtorch::home::VERSION
        );
        return choice
            .check()
            .map_or_else(|error| missing(format!("{error:#}"), remedy), State::Good);
    }
    let remedy =
        if depth == Depth::Hashes { "cargo xtask setup --force" } else { "cargo xtask setup" };
    ours(depth).map_or_else(|error| missing(format!("{error:#}"), remedy), State::Good)
}

fn ours(depth: Depth) -> Result<String> {
    let home = libtorch::home::folder(&workspace::cache()?);
    libtorch::home::whole(&home, depth)?;
    libtorch::link::points_to(&workspace::root(), &home)?;
    let checked = if depth == Depth::Hashes { "every hash checked" } else { "sizes checked" };
    Ok(format!("{} in {}, {checked}", libtorch::home::VERSION, home.display()))
}

fn cuda() -> State {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    let gpu = output(Command::new("nvidia-smi").args(query)).filter(|text| !text.is_empty());
    let Some(gpu) =
        gpu.or_else(|| driver().map(|path| format!("{} (no nvidia-smi)", path.display())))
    else {
        return State::Absent("no NVIDIA driver; training runs on the CPU".into());
    };
    let gpu = gpu.replace('\n', "; ");
    let here = workspace::cache()
        .and_then(|cache| libtorch::cuda::whole(&libtorch::home::folder(&cache), Depth::Sizes));
    match here {
        Ok(()) => State::Good(format!("{gpu}; LibTorch's GPU part is here")),
        Err(_) => State::Absent(format!("{gpu}; to use it run: cargo xtask setup --cuda")),
    }
}

fn driver() -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    let folders =
        [&format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib64", "/usr/lib", "/usr/lib/wsl/lib"];
    folders.iter().map(|folder| Path::new(folder).join("libcuda.so.1")).find(|path| path.exists())
}

fn disk(folder: Result<PathBuf>) -> State {
    let free = folder.and_then(|folder| {
        // The cache may not be there yet: its nearest ancestor tells.
        let there = folder.ancestors().find(|path| path.exists()).context("no such folder")?;
        Ok((fs4::available_space(there)? >> 30, folder))
    });
    match free {
        Ok((gib, folder)) if gib >= NEEDED_GIB => {
            State::Good(format!("{gib} GiB free for {}", folder.display()))
        }
        Ok((gib, folder)) => missing(
            format!("{NEEDED_GIB} GiB for {}, {gib} GiB are free", folder.display()),
            "cargo clean, or set POLYPTYCH_CACHE or CARGO_TARGET_DIR to a larger disk",
        ),
        Err(error) => {
            missing(format!("a folder with space: {error:#}"), "export POLYPTYCH_CACHE=<folder>")
        }
    }
}

fn threads() -> State {
    match std::thread::available_parallelism() {
        Ok(count) => State::Good(count.to_string()),
        Err(error) => State::Absent(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_how() {
        let findings = [
            Finding { name: "threads", state: State::Good("2".into()) },
            Finding { name: "cuda", state: State::Absent("none".into()) },
            Finding { name: "libtorch", state: missing("gone", "cargo xtask setup") },
        ];
        let expected = "ok       threads      2\n-        cuda         none\nMISSING  libtorch     gone\n                      run: cargo xtask setup\n";
        assert_eq!(screen(&findings), expected);
    }

    #[test]
    fn an_old_compiler_is_missing() {
        let is_good = |rustc: &str| rust_state("1.88", rustc, "cargo 1.95.0").is_good();
        assert!(is_good("rustc 1.88.0 (6b00bc388 2025-06-23)") && is_good("rustc 2.0.0"));
        assert!(!is_good("rustc 1.9.0") && !is_good("rustc 1.87.0") && !is_good(""));
    }

    #[test]
    fn space_is_measured_where_the_folder_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let state = disk(Ok(dir.path().join("not/yet")));
        let (State::Good(text) | State::Missing { what: text, .. }) = state else {
            panic!("no measure")
        };
        assert!(text.contains("GiB"), "{text}");
    }
}
