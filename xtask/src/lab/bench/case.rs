//! One thing that is timed, and the programs that do it.

use std::fmt;
use std::path::Path;
use std::process::Command;

use super::peers::{Peer, Programs};
use super::setting::Setting;

/// Something that is timed.
pub(super) struct Case {
    /// The worker's name of it.
    pub(super) name: &'static str,
    /// In words.
    pub(super) about: &'static str,
    /// Whether the number of tasks matters.
    pub(super) has_tasks: bool,
    /// Programs that do the same.
    pub(super) peers: &'static [Peer],
    /// The backbone of a forward pass, by timm's name.
    pub(super) backbone: Option<&'static str>,
    /// Largest relative difference of outputs, where rounding to the precision does not explain it.
    pub(super) outputs: Option<f64>,
}

pub(super) const fn case(
    name: &'static str,
    about: &'static str,
    has_tasks: bool,
    peers: &'static [Peer],
) -> Case {
    Case { name, about, has_tasks, peers, backbone: None, outputs: None }
}

impl Case {
    /// Our program. Some of what it reads is written by a package of `python`.
    pub(super) fn ours(&self, programs: Programs, folder: &Path, setting: &Setting) -> Command {
        let mut command = Command::new(programs.worker);
        command.arg(self.backbone.map_or(self.name, |_| "forward")).arg(folder);
        command.args(self.backbone.into_iter().flat_map(|backbone| ["--backbone", backbone]));
        command.args(setting.args()).args(["--device", &setting.device]);
        command.env("POLYPTYCH_PYTHON", programs.python);
        setting.limit(command)
    }

    /// Those that do the same at `setting`.
    pub(super) fn peers_at(&self, setting: &Setting) -> impl Iterator<Item = &'static Peer> {
        self.peers.iter().filter(move |peer| peer.computes(setting))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let peers: Vec<&str> = self.peers.iter().map(|peer| peer.name).collect();
        let beside =
            if peers.is_empty() { String::new() } else { format!(" ({})", peers.join("; ")) };
        write!(f, "{:<14} {}{beside}", self.name, self.about)
    }
}

impl Setting {
    /// Arguments of every program.
    pub(super) fn args(&self) -> Vec<String> {
        let numbers = [
            ("tasks", self.tasks),
            ("batch", self.batch),
            ("size", self.size),
            ("threads", self.threads),
        ];
        let flag = |(name, value): (&str, usize)| [format!("--{name}"), value.to_string()];
        let precision = ["--precision".to_owned(), self.precision.clone()];
        numbers.into_iter().flat_map(flag).chain(precision).collect()
    }

    /// Libraries beside LibTorch have threads of their own.
    pub(super) fn limit(&self, mut command: Command) -> Command {
        command.env("OMP_NUM_THREADS", self.threads.to_string());
        command
    }
}
