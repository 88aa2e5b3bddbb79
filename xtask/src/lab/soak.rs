//! `cargo xtask soak`: does a run that lasts hold more and more memory?
//!
//! Methods of a recipe train for many steps, with evaluations and checkpoints on the way, each in
//! one process. The log of a run (`metrics.jsonl`) tells the memory at every evaluation; the page
//! and its plot show it over the steps.

pub(crate) mod flags;
mod page;
pub(crate) mod series;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};

use crate::command::Subcommand;
use crate::lab::machine::Origin;
use crate::lab::program::{self, Program};
use crate::lab::recipe;
use crate::lab::reproduce::plan::{Plan, Run};
use crate::process;
use flags::Soak;
use series::Series;

/// Folder of all runs, below the current one.
const RUNS: &str = "runs/soak";
/// The command of a run that has ended, in its folder.
const COMMAND: &str = "command.txt";

impl Subcommand for Soak {
    fn run(flags: &Self) -> Result<ExitCode> {
        let plan = Plan::open(&recipe::file(&flags.recipe), Path::new(RUNS))?;
        let rows = plan.chosen(&flags.rows)?;
        let runs: Vec<Run> = rows.iter().flat_map(|&row| plan.runs(row, 0)).collect();
        if flags.dry_run {
            let program = Program::undecided();
            runs.iter().for_each(|run| {
                println!("would run `{}`", process::shown(&train(&program, &plan, run, flags)));
            });
            return Ok(ExitCode::SUCCESS);
        }
        let _lock = program::lock(&plan.folder)?;
        let origin = Origin::read();
        let shown = |run: &Run| process::shown(&train(&Program::undecided(), &plan, run, flags));
        let waiting: Vec<&Run> = runs.iter().filter(|run| !has_ended(run, &shown(run))).collect();
        if !waiting.is_empty() {
            let program = Program::given_or_built(flags.program.as_deref(), &plan.folder)?;
            in_parallel(flags.jobs, &waiting, |run| one(&program, &plan, run, flags))?;
        }
        let series = runs.iter().map(|run| Series::read(&plan.rows[run.row].name, &run.folder));
        let series = series.collect::<Result<Vec<_>>>()?;
        for path in page::write(flags, &series, &origin)? {
            println!("{}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether an earlier job ended the run of the command `shown`.
fn has_ended(run: &Run, shown: &str) -> bool {
    std::fs::read_to_string(run.folder.join(COMMAND)).is_ok_and(|ended| ended == shown)
}

/// One run from its start to its end in one process, so that memory is that of all steps: what an
/// earlier job began is removed.
fn one(program: &Program, plan: &Plan, run: &Run, flags: &Soak) -> Result<()> {
    let mut command = train(program, plan, run, flags);
    let (record, shown) = (run.folder.join(COMMAND), process::shown(&command));
    match std::fs::remove_dir_all(&run.folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(anyhow!("{}: {e}", run.folder.display()));
        }
        _ => process::step(&mut command)?,
    }
    std::fs::write(&record, shown).with_context(|| record.display().to_string())
}

fn train(program: &Program, plan: &Plan, run: &Run, flags: &Soak) -> Command {
    let mut command = program.command("train");
    command.arg(&plan.recipe).args(&run.arguments).arg("--out").arg(&run.folder);
    let Soak { steps, every, .. } = flags;
    let own = ["train.steps", "train.eval_every", "train.save_every"]
        .into_iter()
        .zip([steps, every, every])
        .map(|(key, value)| format!("{key}={value}"));
    for set in own.chain(flags.sets.iter().cloned()) {
        command.args(["--set", &set]);
    }
    // Runs beside each other must not wait for each other's threads.
    command.env("OMP_NUM_THREADS", "1");
    command
}

/// Does `work` for all `items`, `jobs` at a time; the first error ends it once the others are done.
fn in_parallel<T: Sync>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let waiting = Mutex::new(items.iter());
    let next = || waiting.lock().ok().and_then(|mut items| items.next());
    std::thread::scope(|scope| {
        let worker = || std::iter::from_fn(next).try_for_each(&work);
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
            .fold(Ok(()), Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn all_items_are_done_and_an_error_is_passed_on() {
        let sum = AtomicU32::new(0);
        let add = |n: &u32| {
            sum.fetch_add(*n, Ordering::Relaxed);
            if *n == 3 { Err(anyhow!("three")) } else { Ok(()) }
        };
        in_parallel(2, &[1, 2, 4], add).unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 7);
        assert_eq!(in_parallel(2, &[3], add).unwrap_err().to_string(), "three");
    }
}
