//! `cargo xtask reproduce`: every method of a recipe with several seeds, and the table that
//! compares them.
//!
//! One resumable job: what is done stays done, what was interrupted goes on, and what belongs to a
//! recipe that has changed since is refused. The table, its data and its plots are written from the
//! files of the runs alone. Only standard error tells the progress.

mod band;
mod cost;
mod curves;
pub(crate) mod flags;
mod job;
mod markdown;
mod outcome;
pub(crate) mod plan;
mod plot;
pub(crate) mod rank;
mod ranked;
mod record;
mod spread;
mod summary;
mod write;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::command::Subcommand;
use crate::lab::machine::Origin;
use crate::lab::program::{self, Program};
use crate::lab::recipe;
use flags::Reproduce;
use job::Job;

use plan::Plan;

/// Folder of all runs, below the current one.
const RUNS: &str = "runs/reproduce";

impl Subcommand for Reproduce {
    fn run(flags: &Self) -> Result<ExitCode> {
        let plan = Plan::open(&recipe::file(&flags.recipe), Path::new(RUNS))?;
        if flags.dry_run {
            let job = Job::new(&plan, flags, Program::undecided(), Origin::default())?;
            job.announce()?;
            job.show();
            return Ok(ExitCode::SUCCESS);
        }
        let _lock = program::lock(&plan.folder)?;
        // Settings of the machine are read before the job changes files that git tracks.
        let job = Job::new(&plan, flags, Program::build(&plan.folder)?, Origin::read())?;
        carry_out(&job, flags, &plan)
    }
}

fn carry_out(job: &Job, flags: &Reproduce, plan: &Plan) -> Result<ExitCode> {
    job.announce()?;
    if !job.train_all()? {
        eprintln!("stopped; the same command goes on");
        return Ok(ExitCode::from(130));
    }
    for path in write::all(job, flags, plan)? {
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(all(test, unix))]
mod tests;
