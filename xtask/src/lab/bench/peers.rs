//! Programs that do the same work as ours.

use std::path::Path;
use std::process::Command;

use super::setting::Setting;
use crate::workspace;

/// A program beside ours.
pub(super) struct Peer {
    /// Its name in tables.
    pub(super) name: &'static str,
    pub(super) program: Program,
    args: &'static [&'static str],
    /// Types that it computes in.
    precisions: &'static [&'static str],
    /// A package that it needs beyond those of every peer.
    pub(super) package: Option<&'static str>,
    /// Whether it is a runtime for the CPU that reads our ONNX.
    pub(super) reads_onnx: bool,
}

/// What is run.
pub(super) enum Program {
    /// A script in `benches/peers`.
    Script(&'static str),
    /// Our worker, on another of its cases.
    Worker(&'static str),
}

pub(super) const fn peer(
    name: &'static str,
    script: &'static str,
    args: &'static [&'static str],
) -> Peer {
    let program = Program::Script(script);
    Peer { name, program, args, precisions: &["fp32", "bf16"], package: None, reads_onnx: false }
}

/// Our worker on another case.
pub(super) const fn ours(name: &'static str, case: &'static str) -> Peer {
    Peer { program: Program::Worker(case), ..peer(name, "", &["--peer"]) }
}

pub(super) const fn source(
    name: &'static str,
    args: &'static [&'static str],
    package: &'static str,
) -> Peer {
    Peer { package: Some(package), ..peer(name, "loader.py", args) }
}

pub(super) const fn runtime(
    name: &'static str,
    script: &'static str,
    precisions: &'static [&'static str],
    package: &'static str,
) -> Peer {
    Peer { precisions, package: Some(package), reads_onnx: true, ..peer(name, script, &[]) }
}

/// What runs our side and that of the peers.
#[derive(Clone, Copy)]
pub(super) struct Programs<'p> {
    pub(super) worker: &'p Path,
    pub(super) python: &'p Path,
}

impl Peer {
    /// Its program, on what ours left in `folder`.
    pub(super) fn command(&self, programs: Programs, folder: &Path, setting: &Setting) -> Command {
        let mut command = match self.program {
            Program::Script(script) => {
                let mut command = Command::new(programs.python);
                command.arg(workspace::root().join("benches/peers").join(script));
                command
            }
            Program::Worker(case) => {
                let mut command = Command::new(programs.worker);
                command.arg(case);
                command
            }
        };
        command.arg(folder).args(self.args).args(setting.args());
        command.args(["--device", &setting.device]);
        setting.limit(command)
    }

    pub(super) fn computes(&self, setting: &Setting) -> bool {
        let on_device = !self.reads_onnx || setting.device == "cpu";
        on_device && self.precisions.contains(&setting.precision.as_str())
    }
}
