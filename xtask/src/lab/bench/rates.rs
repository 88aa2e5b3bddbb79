//! What the machine can do while programs are timed on it, and neighbours that keep it busy.

use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::setting::Setting;
use super::spread::Spread;
use super::worker::{Turn, Worker};
use crate::process;

/// Rates of one run, by medians over rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Rates {
    /// Floating-point operations a second of a large product, in the type of the setting.
    products: Spread,
    /// Bytes a second that a copy reads and writes.
    copies: Spread,
    /// Programs that multiplied without pause beside the measured ones.
    pub(super) neighbours: usize,
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [products, copies] = [self.products, self.copies].map(|rate| rate.median / 1e9);
        write!(f, "{products:.0} GFLOP/s, {copies:.1} GB/s")?;
        match self.neighbours {
            0 => Ok(()),
            count => write!(f, ", {count} busy"),
        }
    }
}

/// Programs that take turns with those that are timed.
pub(super) struct Ceilings {
    products: Worker,
    copies: Worker,
}

impl Ceilings {
    /// Of `worker`, in the type and the threads of `setting`.
    pub(super) fn start(worker: &Path, setting: &Setting) -> Result<Self> {
        let start = |case: &str| Worker::start(command(worker, case, setting));
        Ok(Self { products: start("product")?, copies: start("copy")? })
    }

    /// One round.
    pub(super) fn round(&mut self) -> Result<()> {
        self.products.turn()?;
        self.copies.turn()
    }

    /// What was found, without the first round.
    pub(super) fn rates(&self, neighbours: usize) -> Rates {
        let rate = |turn: &Turn| turn.items / turn.seconds;
        let of = |worker: &Worker| Spread::of(worker.turns()[1..].iter().map(rate));
        Rates { products: of(&self.products), copies: of(&self.copies), neighbours }
    }
}

fn command(worker: &Path, case: &str, setting: &Setting) -> Command {
    let mut command = Command::new(worker);
    command.arg(case).arg(".").args(setting.args());
    setting.limit(command)
}

/// Programs that multiply matrices without pause, until they are dropped.
pub(super) struct Neighbours(Vec<Child>);

impl Neighbours {
    /// `count` of `worker`, of one thread each.
    pub(super) fn start(worker: &Path, count: usize, setting: &Setting) -> Result<Self> {
        let mut all = Self(Vec::new());
        let setting = Setting { threads: 1, ..setting.clone() };
        for _ in 0..count {
            let mut command = command(worker, "product", &setting);
            command.arg("--endless").stdin(Stdio::null()).stdout(Stdio::null());
            all.0.push(command.spawn().with_context(|| process::shown(&command))?);
        }
        Ok(all)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::lab::bench) fn rates(neighbours: usize) -> Rates {
        let [products, copies] = [2.25e11, 8.04e9].map(|rate| Spread::of([rate]));
        Rates { products, copies, neighbours }
    }

    #[test]
    fn rates_are_shown_with_their_units() {
        assert_eq!(rates(0).to_string(), "225 GFLOP/s, 8.0 GB/s");
        assert_eq!(rates(2).to_string(), "225 GFLOP/s, 8.0 GB/s, 2 busy");
    }

    #[cfg(unix)]
    #[test]
    fn neighbours_end_with_what_holds_them() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (program, pids) = (folder.path().join("worker"), folder.path().join("pids"));
        let script = format!("#!/bin/sh\necho $$ >> {pids:?}\nexec sleep 600\n");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let (precision, device) = ("fp32".to_owned(), "cpu".to_owned());
        let setting = Setting { precision, device, tasks: 1, batch: 1, size: 224, threads: 2 };
        let mut neighbours = Neighbours::start(&program, 2, &setting).unwrap();
        assert!(neighbours.0.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
        let started = || std::fs::read_to_string(&pids).unwrap_or_default();
        while started().lines().count() < 2 {
            std::thread::yield_now();
        }
        drop(neighbours);
        for pid in started().lines() {
            let running = Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status();
            assert!(!running.unwrap().success(), "{pid}");
        }
    }
}
