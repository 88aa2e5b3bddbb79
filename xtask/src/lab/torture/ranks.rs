//! Runs of several processes: one of them is killed, or the program that started them, and all of
//! them must end by themselves.

use std::fmt;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// How long processes may take to end once one of them was killed.
const END: Duration = Duration::from_secs(90);

/// Exit code of the program whose process got SIGKILL, as shells count.
const KILLED: i32 = 128 + 9;

/// Whom a kill meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A process that trains.
    Rank(usize),
    /// The program that started them.
    Starter,
}

/// What became of the processes of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// They came to the end of the run.
    Done,
    /// One was killed; whether another one named it.
    Killed { named: bool },
}

impl Target {
    pub(super) fn is_rank(self) -> bool {
        matches!(self, Self::Rank(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank(rank) => write!(f, "rank {rank}"),
            Self::Starter => write!(f, "the program that started them"),
        }
    }
}

/// Starts `command`, which starts ranks, and kills `target` after `life`. All processes write to
/// one pipe, whose end is the end of all of them.
pub(super) fn live(command: &mut Command, life: Duration, target: Target) -> Result<End> {
    let shown = process::shown(command);
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| shown.clone())?;
    let words = words(&mut child);
    let end = Instant::now() + life;
    let mut killed = false;
    while !killed && child.try_wait()?.is_none() {
        killed = Instant::now() >= end && kill(child.id(), target)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    let Ok(said) = words.recv_timeout(END) else {
        bail!("`{shown}`: {target} was killed, expected the others to end within {END:?}");
    };
    judge(&shown, child.wait()?, killed.then_some(target), &said)
}

/// What all processes write to standard error, once all of them have ended.
fn words(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let mut pipe = child.stderr.take().expect("standard error is piped");
    std::thread::spawn(move || {
        let mut said = Vec::new();
        // What could not be read is not said.
        let _ = pipe.read_to_end(&mut said);
        let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
    });
    receiver
}

/// Kills `target` of the program `starter`; whether it was there.
fn kill(starter: u32, target: Target) -> Result<bool> {
    let pid = match target {
        Target::Starter => Some(starter.to_string()),
        Target::Rank(rank) => pid_of(starter, rank),
    };
    let Some(pid) = pid else { return Ok(false) };
    Ok(Command::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status()?.success())
}

/// The child of `starter` that is `rank`.
fn pid_of(starter: u32, rank: usize) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{starter}/task/{starter}/children"));
    let variable = format!("RANK={rank}");
    let is_rank = |pid: &&str| {
        let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|own| own == variable.as_bytes())
    };
    children.ok()?.split_whitespace().find(is_rank).map(str::to_owned)
}

fn judge(shown: &str, status: ExitStatus, killed: Option<Target>, said: &str) -> Result<End> {
    let as_expected = match killed {
        None => status.success(),
        Some(Target::Starter) => true,
        // The kill may have met one that had just ended.
        Some(Target::Rank(rank)) => {
            let named = said.contains(&format!("rank {rank} ended with signal: 9"));
            status.success() || (status.code() == Some(KILLED) && named)
        }
    };
    if !as_expected {
        let killed = killed.map_or("nobody was".to_owned(), |target| format!("{target} was"));
        bail!("`{shown}`: {killed} killed, found {status}: {}", said.trim());
    }
    Ok(match killed {
        Some(target) => End::Killed { named: said.contains(&format!("{target} is gone")) },
        None => End::Done,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    const STARTS: &str = "RANK=0 sleep 20 & first=$!; RANK=1 sleep 20 & second=$!; \
                          wait $second || { echo 'rank 1 ended with signal: 9' >&2; \
                          echo 'rank 1 is gone' >&2; kill $first; exit 137; }; kill $first";

    #[test]
    fn a_rank_is_killed_and_named() {
        let life = Duration::from_millis(50);
        let end = live(&mut shell(STARTS), life, Target::Rank(1)).unwrap();
        assert_eq!(end, End::Killed { named: true });
        let end = live(&mut shell("exit 0"), Duration::from_secs(9), Target::Rank(1)).unwrap();
        assert_eq!(end, End::Done);
    }

    #[test]
    fn a_failure_is_not_taken_for_a_kill() {
        let life = Duration::from_secs(9);
        let message = live(&mut shell("echo broken >&2; exit 1"), life, Target::Starter);
        let message = message.unwrap_err().to_string();
        assert!(message.contains("nobody was killed") && message.ends_with("broken"), "{message}");
    }
}
