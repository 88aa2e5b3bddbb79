//! `polyptych train`: a recipe from start to closing table, or the rest of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use polyptych_engine::{
    Baselines, Change, Environment, Evaluation, ExpertLayer, ParameterSummary, Ranks, Recipe,
    RunFolder, TrainOutcome, Trainer, summary, torch_version,
};

use crate::closing::conclude;
use crate::command::Subcommand;
use crate::output::{self, note};
use crate::processes::{self, Processes};
use crate::progress::Progress;
use crate::{interrupt, launch, propose, recipes};

/// Train the model of a recipe, or continue a run
#[derive(Debug, Parser)]
#[command(
    name = "train",
    after_help = "Examples:\n  polyptych train\n  polyptych train camvid --set data.train.0.root=DIR --set data.eval.0.root=DIR\n  polyptych train mine.toml --set train.lr=1e-3 --out runs/low\n  polyptych train --data DIR\n  polyptych train --resume runs/low --set train.steps=2000"
)]
pub(crate) struct Train {
    #[command(flatten)]
    recipe: recipes::RecipeFlags,
    /// Learn from this folder, or from the data set of this manifest: writes NAME.toml, where there
    /// is no manifest, and NAME.recipe.toml, which are taken as they are where they are there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recipe", "resume"])]
    data: Option<PathBuf>,
    /// Folder of the run [default: runs/NAME after the recipe, with a number if it is taken]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, finished or not; with --set train.steps=N for more steps,
    /// and other rates, schedules and devices by the same flag
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "tasks", "out"])]
    resume: Option<PathBuf>,
    /// Train in N processes of this machine, each on its part of every batch; for several machines
    /// start this program by torchrun --no-python or srun instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    nproc_per_node: Option<u16>,
    /// Print what every process would do, and train nothing
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// How long a process waits for the others before it ends
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    dist_timeout: u64,
}

impl Subcommand for Train {
    fn run(flags: &Self) -> Result<ExitCode> {
        let environment = Environment::from_process()?;
        if flags.dry_run {
            let alone = environment.as_ref().map_or(1, |environment| environment.world_size);
            let size = flags.nproc_per_node.map_or(alone, usize::from);
            return processes::plan(&opened(flags)?.0, size);
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
            Some(environment) => Ranks::join(environment, Duration::from_secs(flags.dist_timeout))?,
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
        note!("{}: started anew, going on with the newest checkpoint", path.display());
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
    let (trainer, changes) = Trainer::resume_among(ranks, path, overrides)?;
    if !changes.is_empty() {
        let changed: Vec<String> = changes.iter().map(ToString::to_string).collect();
        note!("{}: from step {} on {}", path.display(), trainer.step(), changed.join(", "));
    }
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
    let out = out.unwrap_or_else(|| free_folder(&recipe.name)).display().to_string();
    let out = PathBuf::from(ranks.of_first(&out)?);
    let (trainer, preparation) = Trainer::start_among(ranks, recipe, baselines, &out)?;
    processes.remember(&out)?;
    let recipe = trainer.recipe();
    if let Some(report) = preparation.weights {
        note!("backbone {}: {}", recipe.backbone.weights, summary(&report));
    }
    if let (Some(report), Some(extend)) = (preparation.extended, &recipe.extend) {
        note!("{} and {}: {}", extend.run.display(), extend.tasks.join(", "), summary(&report));
    }
    if !preparation.experts.is_empty() {
        note!("{}", experts(&preparation.experts));
    }
    complete(trainer, stop)
}

fn complete(mut trainer: Trainer, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    introduce(&trainer);
    let path = trainer.folder().path().to_owned();
    let outcome = train(&mut trainer, stop)?;
    if !outcome.finished {
        return Ok(interrupted(&path, &outcome));
    }
    let baselines = trainer.folder().baselines()?;
    let (recipe, ranks) = (trainer.recipe().clone(), trainer.ranks().clone());
    drop(trainer);
    let Some(main) = finished(outcome, &path)? else { return Ok(ExitCode::SUCCESS) };
    match compare(&ranks, &recipe, baselines.as_ref(), &path, stop)? {
        None => Ok(ExitCode::from(interrupt::INTERRUPTED)),
        Some(others) => {
            conclude(&recipe, baselines.as_ref(), &main, &others, &path);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// How well hidden units fall into experts, all layers together.
fn experts(layers: &[ExpertLayer]) -> String {
    let sum = |value: fn(&ExpertLayer) -> f64| layers.iter().map(value).sum::<f64>();
    format!(
        "experts in {} MLPs: objective {:.1}, of a random split {:.1}",
        layers.len(),
        sum(|layer| layer.objective),
        sum(|layer| layer.random_objective)
    )
}

fn introduce(trainer: &Trainer) {
    let recipe = trainer.recipe();
    let count = ParameterSummary::of(trainer.model()).total();
    note!(
        "{}: {}, {} on {}, {} of {} parameters train, {}LibTorch {}",
        trainer.folder().path().display(),
        match recipe.tasks.len() {
            1 => "1 task".to_owned(),
            count => format!("{count} tasks"),
        },
        recipe.adapter.name(),
        recipe.backbone.name,
        count.trainable,
        count.total,
        match trainer.ranks().size() {
            1 => String::new(),
            size => format!("{size} processes, "),
        },
        torch_version(),
    );
}

fn train(trainer: &mut Trainer, stop: &Arc<AtomicBool>) -> Result<TrainOutcome> {
    let mut progress = Progress::new(trainer, stop.clone());
    let outcome = trainer.run(&mut progress);
    progress.finish();
    Ok(outcome?)
}

fn interrupted(path: &Path, outcome: &TrainOutcome) -> ExitCode {
    note!(
        "stopped after step {}; go on with: polyptych train --resume {}",
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

/// Trains the closing rows of the recipe at the same budget, below the folder of the run.
fn compare(
    ranks: &Ranks,
    recipe: &Recipe,
    baselines: Option<&Baselines>,
    path: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Vec<(String, Evaluation)>>> {
    let mut done = Vec::new();
    for row in recipe.compare.iter().filter(|row| row.closing) {
        let (name, (other, left_out)) = (row.name.clone(), recipe.compared(row)?);
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            note!("{name}: without {left_out}: its tasks share nothing that trains");
        }
        let folder = path.join("compare").join(name.replace(' ', "_"));
        let mut trainer = started(ranks, other, baselines, &folder)?;
        introduce(&trainer);
        let outcome = train(&mut trainer, stop)?;
        match outcome.evaluation {
            Some(evaluation) if outcome.finished => done.push((name, evaluation)),
            _ => {
                note!("stopped: the comparison with {name} is not finished");
                return Ok(None);
            }
        }
    }
    Ok(Some(done))
}

/// A row's run: new, or that of an earlier call, whose steps and rates become those of `recipe`.
fn started(
    ranks: &Ranks,
    recipe: Recipe,
    baselines: Option<&Baselines>,
    folder: &Path,
) -> Result<Trainer> {
    let known = folder.join("recipe.toml").exists().to_string();
    if ranks.of_first(&known)? == "false" {
        return Ok(Trainer::start_among(ranks, recipe, baselines, folder)?.0);
    }
    let known = RunFolder::open(folder)?.recipe()?.0;
    let set = |change: &Change| format!("{}={}", change.key, change.new);
    let changes: Vec<String> = known.changes(&recipe).iter().map(set).collect();
    Ok(Trainer::resume_among(ranks, folder, &changes)?.0)
}

/// `runs/<name>`, or `runs/<name>-2` and so on where that is taken.
fn free_folder(name: &str) -> PathBuf {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let names = std::iter::once(name.to_owned()).chain(numbered);
    let mut paths = names.map(|name| Path::new("runs").join(name));
    paths.find(|path| !path.exists()).expect("there are infinitely many numbers")
}
