//! `polyptych train --nproc-per-node N`: starts this program once for each process of a run, on this
//! machine, as `torchrun` does.
//!
//! The store at which they meet is kept here, so that it outlives any of them. Interrupts go on to
//! all of them: they have a process group of their own, so that a terminal's comes once.

use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use polyptych_engine::KeyStore;

use crate::interrupt::on_interrupt;
use crate::output::note;

/// The flag of plain lines.
const PLAIN: &str = "--plain";
/// The flag, which the started processes must not see.
const FLAG: &str = "--nproc-per-node";
const HERE: &str = "127.0.0.1";
/// Network interface of this machine alone, where the system is Linux.
const LOOPBACK: &str = "lo";

/// How long processes may take to end by themselves once one of them has failed.
const GRACE: Duration = Duration::from_secs(15);
/// How long they may take once they were asked to.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// Runs the command of this process in `count` processes; the exit code of the first that fails.
///
/// # Errors
/// A port or a process that cannot be had.
pub(crate) fn run(count: usize) -> Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let heard = interrupted.clone();
    on_interrupt(move |_| heard.store(true, Ordering::Relaxed))
        .context("cannot install the signal handler")?;
    let store = KeyStore::serve(HERE, 0, "", Duration::from_secs(60))?;
    let started = (0..count).map(|rank| start(rank, count, store.port()));
    let mut all = Started { children: started.collect::<Result<_>>()?, failed: None };
    all.wait(&interrupted)?;
    Ok(ExitCode::from(all.failed.map_or(0, |failure| failure.code)))
}

/// The processes of a run.
struct Started {
    /// None where it has ended.
    children: Vec<Option<Child>>,
    failed: Option<Failure>,
}

/// How the first process that failed has ended.
struct Failure {
    code: u8,
    at: Instant,
    /// Whether the others were asked to end.
    asked: bool,
}

impl Started {
    fn wait(&mut self, interrupted: &AtomicBool) -> Result<()> {
        while self.children.iter().any(Option::is_some) {
            if interrupted.swap(false, Ordering::Relaxed) {
                self.signal();
            }
            self.look()?;
            self.end();
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Notes which processes have ended.
    fn look(&mut self) -> Result<()> {
        for (rank, place) in self.children.iter_mut().enumerate() {
            let Some(child) = place else { continue };
            let Some(status) = child.try_wait()? else { continue };
            *place = None;
            let code = code(status);
            if code != 0 && self.failed.is_none() {
                note!("rank {rank} ended with {status}");
                self.failed = Some(Failure { code, at: Instant::now(), asked: false });
            }
        }
        Ok(())
    }

    /// Ends the others once one has failed and they had their time.
    fn end(&mut self) {
        let Some(failure) = &mut self.failed else { return };
        let since = failure.at.elapsed();
        if since > GRACE && !failure.asked {
            failure.asked = true;
            self.signal();
        } else if since > GRACE + PATIENCE {
            for child in self.children.iter_mut().flatten() {
                // One that has just ended needs no end.
                let _ = child.kill();
            }
        }
    }

    /// Asks all processes to end.
    fn signal(&mut self) {
        for child in self.children.iter_mut().flatten() {
            ask_to_end(child);
        }
    }
}

/// Starts this program as `rank` of `count`.
fn start(rank: usize, count: usize, port: u16) -> Result<Option<Child>> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let mut command = Command::new(program);
    command.args(arguments(std::env::args().skip(1)));
    let own =
        [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", count), ("LOCAL_WORLD_SIZE", count)];
    command.envs(own.map(|(name, value)| (name, value.to_string())));
    command.env("MASTER_ADDR", HERE).env("MASTER_PORT", port.to_string());
    command.env("TORCHELASTIC_USE_AGENT_STORE", "True");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / count).max(1).to_string();
    let loopback = Path::new("/sys/class/net").join(LOOPBACK).exists().then_some(LOOPBACK);
    let defaults = [
        ("OMP_NUM_THREADS", Some(threads.as_str())),
        ("RAYON_NUM_THREADS", Some(threads.as_str())),
        ("GLOO_SOCKET_IFNAME", loopback),
    ];
    for (name, value) in defaults {
        if let (Some(value), None) = (value, std::env::var_os(name)) {
            command.env(name, value);
        }
    }
    apart(&mut command);
    let child = command.spawn().with_context(|| format!("rank {rank} cannot be started"))?;
    Ok(Some(child))
}

/// `all` without the flag and its value, and with lines where a view would move: a process group of
/// its own may not change the terminal.
fn arguments(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut skip = false;
    let plain = [PLAIN.to_owned()].into_iter();
    plain
        .chain(all.filter(|argument| argument != PLAIN))
        .filter(|argument| {
            let value = std::mem::take(&mut skip);
            skip = argument == FLAG;
            !value && !skip && !argument.starts_with(&format!("{FLAG}="))
        })
        .collect()
}

/// In a process group of its own.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_command: &mut Command) {}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // One that has just ended needs no signal.
    let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    let _ = child.kill();
}

/// As shells count: 128 and the signal, where one has ended it.
fn code(status: ExitStatus) -> u8 {
    match status.code() {
        Some(code) => u8::try_from(code).unwrap_or(1),
        None => signal_code(status),
    }
}

#[cfg(unix)]
fn signal_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    status.signal().and_then(|signal| u8::try_from(128 + signal).ok()).unwrap_or(1)
}

#[cfg(not(unix))]
fn signal_code(_status: ExitStatus) -> u8 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_with_its_value() {
        let kept = |text: &str| arguments(text.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(kept("train a --nproc-per-node 2 --out b"), "--plain train a --out b");
        assert_eq!(kept("train --nproc-per-node=4 a --plain"), "--plain train a");
    }
}
