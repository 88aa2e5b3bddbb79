//! One run of `polyptych train`, from where it is.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::plan::{Plan, Run};
use super::record::{Record, State, remove};
use crate::lab::machine::Origin;
use crate::lab::program::Program;
use crate::process;

/// What `polyptych` exits with when it was asked to stop.
pub(crate) const INTERRUPTED: i32 = 130;

/// The program that trains the runs of a plan.
#[derive(Debug)]
pub(crate) struct Trainer<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The program.
    pub(crate) program: Program,
    /// What results are made with.
    pub(crate) origin: Origin,
}

/// How an attempt ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    /// All steps are done and evaluated.
    Done,
    /// It was asked to stop, and goes on another time.
    Asked,
    /// It gave up, with this status.
    Failed(String),
}

impl Trainer<'_> {
    /// Trains `run` from where it is.
    ///
    /// # Errors
    /// A program that does not start, or that a signal ended, which says nothing about the run.
    pub(crate) fn attempt(&self, run: &Run, state: State) -> Result<Ended> {
        if state == State::New {
            // Without a checkpoint there is nothing to go on from, and `polyptych` wants no folder.
            remove(&run.folder)?;
            Record::new(self.plan, run, self.origin.git.clone()).write(run)?;
        }
        let mut command = match state {
            State::Interrupted => self.resume(run),
            _ => self.train(run),
        };
        let started = Instant::now();
        let status = command.status().with_context(|| process::shown(&command))?;
        self.clock(run, started.elapsed().as_secs_f64())?;
        match status.code() {
            None => bail!("`{}` was stopped: {status}", process::shown(&command)),
            Some(INTERRUPTED) => Ok(Ended::Asked),
            Some(_) if status.success() && State::of(self.plan, run)? == State::Done => {
                Ok(Ended::Done)
            }
            Some(_) => Ok(Ended::Failed(status.to_string())),
        }
    }

    /// The call that trains `run`, as one types it.
    pub(crate) fn shown(&self, run: &Run) -> String {
        process::shown(&self.train(run))
    }

    fn train(&self, run: &Run) -> Command {
        let mut command = self.program.command("train");
        command.arg(&self.plan.recipe).args(&run.arguments).arg("--out").arg(&run.folder);
        command
    }

    fn resume(&self, run: &Run) -> Command {
        let mut command = self.program.command("train");
        command.arg("--resume").arg(&run.folder);
        command
    }

    fn clock(&self, run: &Run, seconds: f64) -> Result<()> {
        let record = Record::read(run)?;
        let mut record =
            record.unwrap_or_else(|| Record::new(self.plan, run, self.origin.git.clone()));
        record.wall_s += seconds;
        record.git = self.origin.git.clone();
        record.write(run)
    }
}

/// An interrupt reaches `polyptych` too, which saves and leaves: the job must outlive it.
pub(crate) fn wait_for_children() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    if cfg!(test) {
        // One handler serves a process, and tests run several jobs in one.
        return Ok(stop);
    }
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .context("the interrupt handler cannot be set")?;
    Ok(stop)
}
