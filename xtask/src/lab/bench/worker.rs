//! A program that waits for orders.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process;

/// A running program.
pub(super) struct Worker {
    name: String,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    versions: String,
    turns: Vec<Turn>,
}

/// One round of a program.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Turn {
    /// Wall time.
    pub(super) seconds: f64,
    /// Time that the program had a core, where it is known.
    pub(super) core_seconds: Option<f64>,
    /// Images.
    pub(super) items: f64,
    /// The most memory that the program has held so far, where it is known.
    pub(super) peak_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Ready {
    #[serde(rename = "ready")]
    _ready: bool,
    versions: String,
}

#[derive(Deserialize)]
struct Checked {
    #[serde(rename = "checked")]
    _checked: bool,
}

impl Worker {
    /// Starts the program and waits until it is ready.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let name = process::shown(&command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| name.clone())?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let (orders, answers) = orders.zip(answers).context("expected pipes, found none")?;
        let (answers, versions) = (BufReader::new(answers), String::new());
        let mut worker = Self { name, child, orders, answers, versions, turns: Vec::new() };
        worker.versions = worker.answer::<Ready>()?.versions;
        Ok(worker)
    }

    /// What it computes with.
    pub(super) fn versions(&self) -> &str {
        &self.versions
    }

    /// Its rounds so far.
    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// One round.
    pub(super) fn turn(&mut self) -> Result<()> {
        let turn = self.ask("run")?;
        self.turns.push(turn);
        Ok(())
    }

    /// Writes its numbers into the common folder.
    pub(super) fn check(&mut self) -> Result<()> {
        self.ask::<Checked>("check").map(drop)
    }

    fn ask<A: DeserializeOwned>(&mut self, order: &str) -> Result<A> {
        writeln!(self.orders, "{order}").with_context(|| self.name.clone())?;
        self.answer()
    }

    fn answer<A: DeserializeOwned>(&mut self) -> Result<A> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).with_context(|| self.name.clone())? == 0 {
            bail!("`{}` ended: {}", self.name, self.child.wait()?);
        }
        serde_json::from_str(&line)
            .with_context(|| format!("`{}` said `{}`", self.name, line.trim()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const READY: &str = r#"echo '{"ready":true,"versions":"shell 1"}'"#;

    fn shell(script: &str) -> Result<Worker> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{READY}\n{script}")]);
        Worker::start(command)
    }

    #[test]
    fn rounds_are_run_when_they_are_asked_for() {
        let turn = r#"{"seconds":2.0,"core_seconds":null,"items":4,"peak_bytes":7}"#;
        let mut worker = shell(&format!("while read order; do echo '{turn}'; done")).unwrap();
        assert_eq!(worker.versions(), "shell 1");
        worker.turn().unwrap();
        worker.turn().unwrap();
        let expected = Turn { seconds: 2.0, core_seconds: None, items: 4.0, peak_bytes: Some(7) };
        assert_eq!(worker.turns(), [expected; 2]);
    }

    #[test]
    fn a_program_that_ends_or_says_something_else_is_an_error() {
        let message = shell("read order; exit 3").unwrap().turn().unwrap_err().to_string();
        assert!(message.contains("ended: exit status: 3"), "{message}");
        let mut worker = shell("read order; echo ouch").unwrap();
        let message = worker.turn().unwrap_err().to_string();
        assert!(message.ends_with("said `ouch`"), "{message}");
    }
}
