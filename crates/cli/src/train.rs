//! `polyptych train`: a recipe from start to closing table, or the rest of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use polyptych_engine::{
    Backend, Baselines, Environment, Evaluation, Ranks, Recipe, StagedRun, TrainOutcome, Trainer,
};

use crate::closing::conclude;
use crate::command::Subcommand;
use crate::output::{self, note};
use crate::processes::{self, Processes};
use crate::rows::compare;
use crate::trainer::{changed, introduce, prepared, train};
use crate::{interrupt, launch, propose, recipes, stages};

/// Train the model of a recipe, or continue a run
#[derive(Debug, Parser)]
#[command(
    name = "train",
    after_help = "Examples:\n  polyptych train\n  polyptych train camvid --set data.train.0.root=DIR --set data.eval.0.root=DIR\n  polyptych train mine.toml --set train.lr=1e-3 --out runs/low\n  polyptych train --data DIR\n  polyptych train --resume runs/low --set train.steps=2000"
)]
pub(crate) struct Train {
    #[command(flatten)]
    recipe: recipes::RecipeFlags,
    /// Train on this folder, or on the data set of this manifest. Writes the manifest NAME.toml and
    /// the recipe NAME.recipe.toml, or uses them if they exist
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recipe", "resume"])]
    data: Option<PathBuf>,
    /// Folder of the run [default: runs/NAME after the recipe, with a number if it is taken]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in this folder, finished or not. --set train.steps=N adds steps; --set also
    /// changes learning rate, schedule and device
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "tasks", "out"])]
    resume: Option<PathBuf>,
    /// Train in N processes on this machine; each takes a part of every batch. For several
    /// machines, start the program with torchrun --no-python or srun
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    nproc_per_node: Option<u16>,
    /// Print what every process would do, and train nothing
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// How long a process waits for the others before it ends
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    dist_timeout: u64,
    /// What gradients of several processes go over: gloo, or nccl among GPUs
    #[arg(long, value_name = "BACKEND", default_value_t)]
    dist_backend: Backend,
}

impl Subcommand for Train {
    fn run(flags: &Self) -> Result<ExitCode> {
        let environment = Environment::from_process()?;
        if flags.dry_run {
            if environment.as_ref().is_some_and(|environment| environment.rank > 0) {
                return Ok(ExitCode::SUCCESS);
            }
            let started = environment.map_or((1, 1), |of| (of.world_size, of.local_world_size));
            let here = |count: u16| (usize::from(count), usize::from(count));
            let (size, local_size) = flags.nproc_per_node.map_or(started, here);
            let recipe = opened(flags)?.0;
            return match recipe.stage.is_empty() {
                true => processes::plan(&recipe, size, local_size),
                false => stages::plan(&recipe, size, local_size),
            };
        }
        if let Some(count) = flags.nproc_per_node {
            ensure!(
                environment.is_none(),
                "--nproc-per-node: expected no other program that starts processes, found RANK or \
                 SLURM's variables; leave the flag out"
            );
            return launch::run(count.into());
        }
        let stop = interrupt::flag()?;
        let restarts = environment.as_ref().map_or(0, |environment| environment.restarts);
        let ranks = match environment {
            Some(environment) => Ranks::join(environment, Duration::from_secs(flags.dist_timeout))?
                .with_backend(flags.dist_backend),
            None => Ranks::alone(),
        };
        if !ranks.is_first() {
            output::be_silent();
        }
        let processes = Processes { ranks, restarted: restarts > 0 };
        let done = run_as(flags, &processes, &stop);
        done.inspect_err(|error| processes.ranks.fail(&error.to_string()))
    }
}

fn run_as(flags: &Train, processes: &Processes, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    if let Some(path) = &flags.resume {
        return resume(&processes.ranks, path, &flags.recipe.overrides, stop);
    }
    if let Some(path) = processes.begun(flags.out.as_deref())? {
        note!("{}: restarted, continuing from the newest checkpoint", path.display());
        return resume(&processes.ranks, &path, &[], stop);
    }
    let (recipe, baselines) = opened(flags)?;
    start_among(processes, recipe, baselines.as_ref(), flags.out.clone(), stop)
}

fn opened(flags: &Train) -> Result<(Recipe, Option<Baselines>)> {
    let mut asked = flags.recipe.clone();
    if let Some(data) = &flags.data {
        asked.recipe = propose::for_data(data, &asked.overrides)?.display().to_string();
    }
    recipes::open(&asked)
}

fn resume(
    ranks: &Ranks,
    path: &Path,
    overrides: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    if StagedRun::is(path) {
        return complete_stages(ranks, StagedRun::open(ranks, path)?, path, overrides, stop);
    }
    let (trainer, changes) = Trainer::resume_among(ranks, path, overrides)?;
    changed(&trainer, &changes);
    complete(trainer, stop)
}

/// Trains `recipe` from its first step to the closing table, in `out` or a free folder, or until
/// `stop` is set.
pub(crate) fn start(
    recipe: Recipe,
    baselines: Option<&Baselines>,
    out: Option<PathBuf>,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let processes = Processes { ranks: Ranks::alone(), restarted: false };
    start_among(&processes, recipe, baselines, out, stop)
}

fn start_among(
    processes: &Processes,
    recipe: Recipe,
    baselines: Option<&Baselines>,
    out: Option<PathBuf>,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let ranks = &processes.ranks;
    let out = out.unwrap_or_else(|| processes::free_folder(&recipe.name)).display().to_string();
    let out = PathBuf::from(ranks.of_first(&out)?);
    recipe.check_later(ranks, &out)?;
    if !recipe.stage.is_empty() {
        let run = StagedRun::create(ranks, &recipe, baselines, &out)?;
        processes.remember(&out)?;
        return complete_stages(ranks, run, &out, &[], stop);
    }
    let (trainer, preparation) = Trainer::start_among(ranks, recipe, baselines, &out)?;
    processes.remember(&out)?;
    prepared(trainer.recipe(), &preparation);
    complete(trainer, stop)
}

fn complete(mut trainer: Trainer, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    processes::log(trainer.ranks(), trainer.folder().path())?;
    introduce(&trainer);
    let path = trainer.folder().path().to_owned();
    let outcome = train(&mut trainer, stop)?;
    let baselines = trainer.folder().baselines()?;
    let (recipe, ranks) = (trainer.recipe().clone(), trainer.ranks().clone());
    drop(trainer);
    close(&ranks, (&recipe, baselines.as_ref()), &path, outcome, stop)
}

fn complete_stages(
    ranks: &Ranks,
    mut run: StagedRun,
    path: &Path,
    overrides: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let outcome = stages::train_rest(ranks, &mut run, overrides, stop)?;
    close(ranks, (run.recipe(), run.baselines()), path, outcome, stop)
}

/// What follows the last step: the closing rows and the table.
fn close(
    ranks: &Ranks,
    (recipe, baselines): (&Recipe, Option<&Baselines>),
    path: &Path,
    outcome: TrainOutcome,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    if !outcome.finished {
        return Ok(interrupted(path, &outcome));
    }
    let Some(main) = finished(outcome, path)? else { return Ok(ExitCode::SUCCESS) };
    match compare(ranks, recipe, baselines, path, stop)? {
        None => Ok(ExitCode::from(interrupt::INTERRUPTED)),
        Some(others) => {
            conclude(recipe, baselines, &main, &others, path);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn interrupted(path: &Path, outcome: &TrainOutcome) -> ExitCode {
    note!(
        "stopped after step {}; continue with: polyptych train --resume {}",
        outcome.step,
        path.display()
    );
    ExitCode::from(interrupt::INTERRUPTED)
}

/// The evaluation of a finished run; none where a finished run was resumed.
fn finished(outcome: TrainOutcome, path: &Path) -> Result<Option<Evaluation>> {
    if outcome.evaluation.is_none() {
        note!(
            "{0}: all {1} steps are done; for more: polyptych train --resume {0} --set train.steps=N",
            path.display(),
            outcome.step
        );
    }
    Ok(outcome.evaluation)
}
