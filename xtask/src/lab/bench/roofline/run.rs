//! What was measured, and what follows from it.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::setting::Setting;
use super::super::spread::Spread;

/// What a piece says about the machine or the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Operations a second of products.
    Products,
    /// Bytes a second that memory moves.
    Memory,
    /// Kernels of a training step.
    Group,
    /// The passes of a training step as a whole.
    Step,
}

/// Something that was timed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    role: Role,
    pub(super) name: String,
    pub(super) calls: u64,
    /// Floating-point operations of all calls.
    pub(super) flops: f64,
    /// Bytes that they read or write, each counted once.
    pub(super) bytes: f64,
    /// Of all calls, round by round.
    seconds: Vec<f64>,
}

/// One type at one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) precision: String,
    pub(super) tasks: usize,
    pub(super) batch: usize,
    pub(super) size: usize,
    pub(super) threads: usize,
    pub(super) commit: String,
    pub(super) versions: String,
    pub(super) pieces: Vec<Piece>,
}

impl Piece {
    /// Median and quartiles of its times.
    pub(super) fn seconds(&self) -> Spread {
        Spread::of(self.seconds.iter().copied())
    }

    /// Operations a second.
    pub(super) fn flop_rate(&self) -> f64 {
        self.flops / self.seconds().median
    }

    /// Bytes a second.
    pub(super) fn byte_rate(&self) -> f64 {
        self.bytes / self.seconds().median
    }

    /// Operations for each byte.
    pub(super) fn intensity(&self) -> f64 {
        self.flops / self.bytes
    }
}

impl Run {
    /// Checks that there are ceilings, groups and a step, and that all have times.
    pub(super) fn new(setting: Setting, versions: String, pieces: Vec<Piece>) -> Result<Self> {
        let Setting { precision, tasks, batch, size, threads, .. } = setting;
        for (role, name, kind) in [
            (Role::Products, "products", "a ceiling"),
            (Role::Memory, "memory", "a ceiling"),
            (Role::Group, "groups", "a group"),
            (Role::Step, "step", "a step"),
        ] {
            let found = pieces.iter().find(|piece| piece.role == role);
            found.with_context(|| format!("{name}: expected {kind}, found none"))?;
        }
        let timed = |piece: &&Piece| {
            !piece.seconds.is_empty() && piece.seconds.iter().all(|seconds| *seconds > 0.0)
        };
        if let Some(piece) = pieces.iter().find(|piece| !timed(piece)) {
            bail!("{}: expected times above 0, found none", piece.name);
        }
        let commit = String::new();
        Ok(Self { precision, tasks, batch, size, threads, commit, versions, pieces })
    }

    /// What it is found by: later runs of the same setting take its place.
    pub(super) fn key(&self) -> String {
        let Self { precision, tasks, batch, size, threads, .. } = self;
        format!("{precision} size {size:04} batch {batch:03} tasks {tasks:03} threads {threads}")
    }

    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.role == role)
    }

    /// Rounds that count.
    pub(super) fn rounds(&self) -> usize {
        self.pieces.first().map_or(0, |piece| piece.seconds.len())
    }

    /// Operations a second of the fastest product.
    pub(super) fn ceiling(&self) -> f64 {
        self.of(Role::Products).map(Piece::flop_rate).fold(0.0, f64::max)
    }

    /// Bytes a second of the fastest way through memory.
    pub(super) fn bandwidth(&self) -> f64 {
        self.of(Role::Memory).map(Piece::byte_rate).fold(0.0, f64::max)
    }

    /// Seconds below which no group can come: those of its operations at the ceiling, or of its
    /// bytes at the bandwidth, whichever takes longer.
    pub(super) fn least_s(&self, piece: &Piece) -> f64 {
        (piece.flops / self.ceiling()).max(piece.bytes / self.bandwidth())
    }

    /// Seconds of a whole step: its passes, and the groups that are no part of them.
    pub(super) fn step_s(&self) -> f64 {
        let after = self.of(Role::Group).filter(|piece| piece.name == LEARNING);
        self.of(Role::Step).chain(after).map(|piece| piece.seconds().median).sum()
    }

    /// Seconds of all groups, and the least that they could take.
    pub(super) fn groups_s(&self) -> [f64; 2] {
        let sum = |of: &dyn Fn(&Piece) -> f64| self.of(Role::Group).map(of).sum();
        [sum(&|piece| piece.seconds().median), sum(&|piece| self.least_s(piece))]
    }
}

/// The group that follows the passes of a step.
const LEARNING: &str = "clipping and AdamW";

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for piece in self.of(Role::Group) {
            let share = 100.0 * self.least_s(piece) / piece.seconds().median;
            writeln!(f, "{} {} {share:.0} %", self.precision, piece.name)?;
        }
        let [groups, least] = self.groups_s();
        write!(
            f,
            "{} step {:.3} s, groups {groups:.3} s, at their roofs {least:.3} s",
            self.precision,
            self.step_s()
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 100 GFLOP/s, 8 GB/s, and a step of which one of four seconds is in no group.
    pub(crate) const LINES: &str = r#"{"versions": "LibTorch 1"}
{"role": "products", "name": "small", "calls": 1, "flops": 5e10, "bytes": 1e6, "seconds": [1.0]}
{"role": "products", "name": "large", "calls": 1, "flops": 1e11, "bytes": 1e6, "seconds": [1.0]}
{"role": "memory", "name": "copy", "calls": 1, "flops": 0.0, "bytes": 4e9, "seconds": [0.5, 0.25]}
{"role": "group", "name": "products", "calls": 8, "flops": 1e11, "bytes": 1e9, "seconds": [2.0]}
{"role": "group", "name": "copies", "calls": 2, "flops": 0.0, "bytes": 4e9, "seconds": [1.0]}
{"role": "group", "name": "clipping and AdamW", "calls": 1, "flops": 1e6, "bytes": 1e6, "seconds": [0.5]}
{"role": "step", "name": "forward and backward passes", "calls": 1, "flops": 0.0, "bytes": 0.0, "seconds": [4.0]}"#;

    pub(crate) fn setting() -> Setting {
        Setting {
            precision: "fp32".into(),
            tasks: 4,
            batch: 4,
            size: 224,
            threads: 1,
            device: "cpu".into(),
        }
    }

    pub(crate) fn run() -> Run {
        super::super::read(LINES, setting()).unwrap()
    }

    #[test]
    fn the_roof_is_the_lower_of_two() {
        let run = run();
        assert_eq!((run.ceiling(), run.bandwidth()), (1e11, 8e9));
        let least: Vec<f64> = run.of(Role::Group).map(|piece| run.least_s(piece)).collect();
        assert_eq!(least[..2], [1.0, 0.5]);
        assert_eq!((run.step_s(), run.groups_s()[0]), (4.5, 3.5));
    }
}
