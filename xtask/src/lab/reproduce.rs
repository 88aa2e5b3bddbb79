//! `cargo xtask reproduce`: every method of a recipe with several seeds, and the table that
//! compares them.
//!
//! One resumable job: what is done stays done, what was interrupted goes on, and what belongs to a
//! recipe that has changed since is refused. The table, its data and its plots are written from the
//! files of the runs alone. Only standard error tells the progress.

mod band;
mod continued;
mod cost;
mod curves;
mod excerpts;
mod fence;
pub(crate) mod flags;
mod job;
mod kept;
mod made;
mod markdown;
mod outcome;
mod paired;
pub(crate) mod plan;
mod plot;
mod pruned;
pub(crate) mod rank;
mod ranked;
mod record;
mod rows;
mod singles;
mod spread;
mod stage_table;
mod stages;
mod summary;
mod table;
mod trainer;
mod tune;
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
use trainer::Trainer;
use tune::{Share, Tuning};

/// Folder of all runs, below the current one.
const RUNS: &str = "runs/reproduce";
/// Folder of all trials, below the current one.
const TRIALS: &str = "runs/tune";

impl Subcommand for Reproduce {
    fn run(flags: &Self) -> Result<ExitCode> {
        let runs = Path::new(if flags.tune { TRIALS } else { RUNS });
        let plan = Plan::open(&recipe::file(&flags.recipe), runs)?;
        if flags.tune {
            return tune(flags, &plan);
        }
        let (plan, tuning) = tuned(flags, plan)?;
        continued::check(&plan, flags, &write::kept(&plan, flags)?)?;
        if flags.dry_run {
            let job = Job::new(&plan, flags, undecided(&plan))?;
            job.announce()?;
            job.show();
            return Ok(ExitCode::SUCCESS);
        }
        let _lock = program::lock(&plan.folder)?;
        // Settings of the machine are read before the job changes files that git tracks.
        let program = Program::given_or_built(flags.program.as_deref(), &plan.folder)?;
        let origin = Origin::read();
        let job = Job::new(&plan, flags, Trainer { plan: &plan, program, origin })?;
        carry_out(&job, flags, &plan, tuning.as_ref())
    }
}

fn undecided(plan: &Plan) -> Trainer<'_> {
    Trainer { plan, program: Program::undecided(), origin: Origin::default() }
}

/// The plan as it is, or with what was chosen for its rows.
fn tuned(flags: &Reproduce, plan: Plan) -> Result<(Plan, Option<Tuning>)> {
    if !flags.tuned {
        return Ok((plan, None));
    }
    let tuning = Tuning::read(&tune::choice::file(&flags.out, &plan.name))?;
    Ok((plan.tuned(&flags.rows, tuning.chosen())?, Some(tuning)))
}

fn tune(flags: &Reproduce, plan: &Plan) -> Result<ExitCode> {
    if flags.dry_run {
        let share = Share::new(plan, flags, undecided(plan))?;
        share.announce()?;
        share.show()?;
        return Ok(ExitCode::SUCCESS);
    }
    // Processes share trials, and each has a program of its own, whatever is built meanwhile.
    let own = plan.folder.join(format!("process-{}", std::process::id()));
    std::fs::create_dir_all(&own)?;
    let program = Program::given_or_built(flags.program.as_deref(), &own)?;
    let origin = Origin::read();
    let share = Share::new(plan, flags, Trainer { plan, program, origin })?;
    let done = choose(&share, flags);
    std::fs::remove_dir_all(&own)?;
    done
}

fn choose(share: &Share, flags: &Reproduce) -> Result<ExitCode> {
    share.announce()?;
    let done = share.carry_out()?;
    println!("{}", share.write(flags, &write::command(flags))?.display());
    if !done {
        eprintln!("stopped; the same command goes on");
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}

fn carry_out(
    job: &Job,
    flags: &Reproduce,
    plan: &Plan,
    tuning: Option<&Tuning>,
) -> Result<ExitCode> {
    job.announce()?;
    if !job.train_all()? {
        eprintln!("stopped; the same command goes on");
        return Ok(ExitCode::from(130));
    }
    for path in write::all(job, flags, plan, tuning)? {
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(all(test, unix))]
mod tests;
