//! Carrying out the runs of a plan, one after the other.

use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};

use super::flags::Reproduce;
use super::plan::{Plan, Run};
use super::record::{Record, State, remove, write_whole};
use super::trainer::{Ended, INTERRUPTED, Trainer, wait_for_children};
use crate::process;

/// Parameters of the trained model, as `polyptych inspect` counts them: of a run in stages those of
/// the last one.
pub(crate) const INSPECT: &str = "parameters.json";
/// Times of the model, as `polyptych time` takes them.
pub(crate) const TIME: &str = "time.json";
/// Why the model does not merge, where it does not.
pub(crate) const REFUSED: &str = "merge-refused.txt";

/// The last file that `polyptych merge` writes.
const MERGE: &str = "merge.json";

/// A plan with the program that carries it out.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// What trains.
    pub(crate) trainer: Trainer<'a>,
    runs: Vec<Run>,
}

impl<'a> Job<'a> {
    /// The runs that `flags` ask for, seed by seed, so that a job cut short compares all methods.
    pub(crate) fn new(plan: &'a Plan, flags: &Reproduce, trainer: Trainer<'a>) -> Result<Self> {
        let chosen = plan.chosen(&flags.rows)?;
        let rows = |seed| chosen.iter().flat_map(move |&row| plan.runs(row, seed));
        let runs = (flags.first_seed..flags.seeds).flat_map(rows).collect();
        Ok(Self { plan, trainer, runs })
    }

    /// Says how much there is to do; refuses runs of another recipe before anything is trained.
    pub(crate) fn announce(&self) -> Result<()> {
        let states = self.runs.iter().map(|run| State::of(self.plan, run));
        let states = states.collect::<Result<Vec<_>>>()?;
        for (run, state) in self.runs.iter().zip(&states) {
            eprintln!("{:<11} {}", format!("{state:?}").to_lowercase(), run.folder.display());
        }
        let done = states.iter().filter(|state| **state == State::Done).count();
        eprintln!("{} runs, {done} of them done", states.len());
        Ok(())
    }

    /// Prints the commands that would be run.
    pub(crate) fn show(&self) {
        let shown = |run| println!("would run `{}`", self.trainer.shown(run));
        self.runs.iter().for_each(shown);
    }

    /// Carries out what is missing; false where it was asked to stop.
    pub(crate) fn train_all(&self) -> Result<bool> {
        let stop = wait_for_children()?;
        for (index, run) in self.runs.iter().enumerate() {
            eprintln!("run {} of {}: {}", index + 1, self.runs.len(), run.folder.display());
            if !self.carry_out(run)? || stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.estimate(&self.runs[index + 1..])?;
        }
        Ok(true)
    }

    fn carry_out(&self, run: &Run) -> Result<bool> {
        let state = State::of(self.plan, run)?;
        if state != State::Done && !self.train(run, state)? {
            return Ok(false);
        }
        self.merge(run)?;
        self.keep(run, TIME, self.trainer.program.command("time").arg(&run.folder).arg("--json"))?;
        let mut inspect = self.trainer.program.command("inspect");
        inspect.arg(&run.folder).arg("--json");
        self.keep(run, INSPECT, &mut inspect)?;
        Ok(true)
    }

    /// Trains `run` from where it is; false where it was asked to stop.
    fn train(&self, run: &Run, state: State) -> Result<bool> {
        match self.trainer.attempt(run, state)? {
            Ended::Done => Ok(true),
            Ended::Asked => Ok(false),
            Ended::Failed(status) => {
                bail!("`{}`: expected a finished run: {status}", self.trainer.shown(run))
            }
        }
    }

    /// Merges the model, or keeps the reason why it does not merge.
    fn merge(&self, run: &Run) -> Result<()> {
        let (merged, refused) = (run.folder.join("merged"), run.folder.join(REFUSED));
        if merged.join(MERGE).exists() || refused.exists() {
            return Ok(());
        }
        remove(&merged)?;
        let mut command = self.trainer.program.command("merge");
        command.arg(&run.folder).arg("--out").arg(&merged);
        let output = output(&mut command)?;
        if output.status.success() {
            return Ok(());
        }
        let reason = reason(&output);
        eprintln!("not merged: {reason}");
        write_whole(&refused, reason.as_bytes())
    }

    /// Keeps what `command` prints as the file `name` of `run`.
    fn keep(&self, run: &Run, name: &str, command: &mut Command) -> Result<()> {
        let path = run.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let output = output(command)?;
        if !output.status.success() {
            bail!("`{}` failed: {}", process::shown(command), reason(&output));
        }
        write_whole(&path, &output.stdout)
    }

    /// Says how long `left` takes if its runs take as long as those that are done.
    fn estimate(&self, left: &[Run]) -> Result<()> {
        let todo = left.iter().map(|run| Ok(State::of(self.plan, run)? != State::Done));
        let todo = todo.collect::<Result<Vec<_>>>()?.into_iter().filter(|todo| *todo).count();
        let records = self.runs.iter().map(Record::read).collect::<Result<Vec<_>>>()?;
        let times: Vec<f64> = records.into_iter().flatten().map(|record| record.wall_s).collect();
        if let Some(seconds) = super::spread::average(&times).filter(|_| todo > 0) {
            eprintln!("{todo} more to train, about {}", duration(seconds * todo as f64));
        }
        Ok(())
    }
}

/// `90` as `1 min 30 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min} min"),
    }
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| process::shown(command))?;
    // Without a code a signal ended it, which says nothing about the run.
    if output.status.code().is_none_or(|code| code == INTERRUPTED) {
        bail!("`{}` was stopped: {}", process::shown(command), output.status);
    }
    Ok(output)
}

/// The last line of standard error, without its mark.
fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    last.trim_start_matches("error: ").to_owned()
}
