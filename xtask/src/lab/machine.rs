//! What were results made with?

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::process;
use crate::setup::libtorch;
use crate::workspace;

/// Machine, checkout and versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Model of the CPU.
    pub(crate) cpu: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    /// Model of the GPU, where there is one.
    pub(crate) gpu: Option<String>,
    /// Operating system.
    pub(crate) os: String,
    /// The checkout.
    pub(crate) git: Git,
    /// Version of the compiler.
    pub(crate) rustc: String,
    /// Version of tch.
    pub(crate) tch: String,
    /// Version of LibTorch.
    pub(crate) libtorch: String,
}

/// State of the checkout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Git {
    /// The commit, `unknown` outside of a repository.
    pub(crate) commit: String,
    /// Whether nothing differs from the commit.
    pub(crate) clean: bool,
}

impl Origin {
    /// Reads everything from the machine.
    pub(crate) fn read() -> Self {
        Self {
            cpu: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            gpu: gpu(),
            os: os(),
            git: Git::read(),
            rustc: rustc(),
            tch: locked("tch"),
            libtorch: libtorch::home::VERSION.into(),
        }
    }

    /// Machine and versions, in two lines.
    pub(crate) fn machine(&self) -> String {
        let Self { cpu, cores, os, rustc, tch, libtorch, .. } = self;
        let gpu = self.gpu.as_ref().map(|gpu| format!(", {gpu}")).unwrap_or_default();
        format!(
            "Machine: {cpu} with {cores} cores{gpu}, {os}.\n{rustc}, tch {tch}, LibTorch {libtorch}."
        )
    }
}

impl Git {
    fn read() -> Self {
        let git = |args: &[&str]| {
            process::output(Command::new("git").current_dir(workspace::root()).args(args))
        };
        let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
        Self { commit, clean: git(&["status", "--porcelain"]).is_some_and(|text| text.is_empty()) }
    }

    /// The commit in short, with a word where files differ from it.
    pub(crate) fn short(&self) -> String {
        let commit: String = self.commit.chars().take(10).collect();
        if self.clean { commit } else { format!("{commit} with changes") }
    }
}

/// What Linux calls the processor, with its family and model: hosts of virtual machines leave out of
/// the name which generation it is. The architecture elsewhere.
pub(super) fn processor() -> String {
    named(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn named(info: &str) -> String {
    let lines = || info.lines().filter_map(|line| line.split_once(':'));
    let value = |key: &str| lines().find(|(name, _)| name.trim() == key).map(|(_, v)| v.trim());
    let Some(name) = value("model name") else { return std::env::consts::ARCH.to_owned() };
    match (value("cpu family"), value("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name.to_owned(),
    }
}

fn gpu() -> Option<String> {
    let mut command = Command::new("nvidia-smi");
    process::output(command.args(["--query-gpu=name", "--format=csv,noheader"]))
}

fn os() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or(std::env::consts::OS, |name| name.trim_matches('"')).to_owned()
}

fn rustc() -> String {
    let cargo = workspace::cargo();
    // The compiler that lies beside cargo is the one that cargo uses.
    let beside = Path::new(&cargo).with_file_name("rustc");
    process::output(Command::new(beside).arg("--version")).unwrap_or_else(|| "unknown".into())
}

/// Version of `package` in the lock file.
fn locked(package: &str) -> String {
    let text = std::fs::read_to_string(workspace::root().join("Cargo.lock")).unwrap_or_default();
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name);
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.map_or_else(|| "unknown".into(), |version| version.trim_matches('"').to_owned())
}

/// Puts `.` for this checkout and `~` for the user's folder in `text`.
pub(crate) fn without_paths(text: &str) -> String {
    let text = text.replace(&workspace::root().display().to_string(), ".");
    match std::env::var("HOME") {
        Ok(home) if home.len() > 1 => text.replace(&home, "~"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_this_workspace() {
        let origin = Origin::read();
        assert!(origin.rustc.starts_with("rustc 1."), "{}", origin.rustc);
        assert_eq!(origin.tch, "0.24.0");
        assert!(origin.cores > 0 && !origin.cpu.is_empty() && !origin.os.is_empty());
        assert_eq!(locked("no-such-package"), "unknown");
    }

    #[test]
    fn processors_are_told_apart_by_family_and_model() {
        let info = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n";
        assert_eq!(named(info), "AMD EPYC (family 25, model 17)");
        assert_eq!(named("model name\t: A CPU\n"), "A CPU");
        assert_eq!(named(""), std::env::consts::ARCH);
    }

    #[test]
    fn paths_of_the_machine_are_left_out() {
        let text = format!("{}/runs", workspace::root().display());
        assert_eq!(without_paths(&text), "./runs");
    }
}
