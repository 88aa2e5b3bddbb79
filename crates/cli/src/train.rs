//! `polyptych train`: a recipe from start to closing table, or the rest of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use polyptych_engine::{
    Baselines, Evaluation, ExpertLayer, Ledger, Recipe, TrainOutcome, Trainer, torch_version,
};

use crate::INTERRUPTED;
use crate::flags::TrainFlags;
use crate::output::say;
use crate::progress::Progress;
use crate::table::{self, Column};
use crate::{interrupt, recipes};

pub(crate) fn run(flags: &TrainFlags) -> Result<ExitCode> {
    let stop = interrupt::flag()?;
    if let Some(path) = &flags.resume {
        return complete(Trainer::resume(path)?, &stop);
    }
    let (recipe, baselines) = recipes::open(&flags.recipe)?;
    start(recipe, baselines.as_ref(), flags.out.clone(), &stop)
}

/// Trains `recipe` from its first step to the closing table, in `out` or a free folder, or until
/// `stop` is set.
pub(crate) fn start(
    recipe: Recipe,
    baselines: Option<&Baselines>,
    out: Option<PathBuf>,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let out = out.unwrap_or_else(|| free_folder(&recipe.name));
    let (trainer, preparation) = Trainer::start(recipe, baselines, &out)?;
    let recipe = trainer.recipe();
    if let Some(report) = preparation.weights {
        eprintln!("backbone {}: {report}", recipe.backbone.weights);
    }
    if let (Some(report), Some(extend)) = (preparation.extended, &recipe.extend) {
        eprintln!("{} and {}: {report}", extend.run.display(), extend.tasks.join(", "));
    }
    if !preparation.experts.is_empty() {
        eprintln!("{}", experts(&preparation.experts));
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
    let recipe = trainer.recipe().clone();
    drop(trainer);
    let Some(main) = finished(outcome, &path)? else { return Ok(ExitCode::SUCCESS) };
    match compare(&recipe, baselines.as_ref(), &path, stop)? {
        None => Ok(ExitCode::from(INTERRUPTED)),
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
    let count = Ledger::of(trainer.model()).total();
    eprintln!(
        "{}: {} tasks, {} on {}, {} of {} parameters train, LibTorch {}",
        trainer.folder().path().display(),
        recipe.tasks.len(),
        recipe.adapter.name(),
        recipe.backbone.name,
        count.trainable,
        count.total,
        torch_version(),
    );
}

fn train(trainer: &mut Trainer, stop: &Arc<AtomicBool>) -> Result<TrainOutcome> {
    let steps = trainer.recipe().train.steps;
    let mut progress = Progress::new(trainer.step(), steps, stop.clone());
    let outcome = trainer.run(&mut progress);
    progress.finish();
    Ok(outcome?)
}

fn interrupted(path: &Path, outcome: &TrainOutcome) -> ExitCode {
    eprintln!(
        "stopped after step {}; go on with: polyptych train --resume {}",
        outcome.step,
        path.display()
    );
    ExitCode::from(INTERRUPTED)
}

/// The evaluation of a finished run; none where a finished run was resumed.
fn finished(outcome: TrainOutcome, path: &Path) -> Result<Option<Evaluation>> {
    if outcome.evaluation.is_none() {
        eprintln!("{}: all {} steps are done", path.display(), outcome.step);
    }
    Ok(outcome.evaluation)
}

/// Trains the closing rows of the recipe at the same budget, below the folder of the run.
fn compare(
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
            eprintln!("{name}: without {left_out}: its tasks share nothing that trains");
        }
        let folder = path.join("compare").join(name.replace(' ', "_"));
        let (mut trainer, _) = Trainer::start(other, baselines, &folder)?;
        introduce(&trainer);
        let outcome = train(&mut trainer, stop)?;
        match outcome.evaluation {
            Some(evaluation) if outcome.finished => done.push((name, evaluation)),
            _ => {
                eprintln!("stopped: the comparison with {name} is not finished");
                return Ok(None);
            }
        }
    }
    Ok(Some(done))
}

fn conclude(
    recipe: &Recipe,
    baselines: Option<&Baselines>,
    main: &Evaluation,
    others: &[(String, Evaluation)],
    path: &Path,
) {
    let recorded = baselines.map(|baselines| Column {
        title: "single task (recorded)".into(),
        values: baselines.single_task.iter().map(|b| (b.task.as_str(), b.value)).collect(),
        delta_m: Some(0.0),
    });
    let others = others.iter().map(|(name, evaluation)| Column::of(name, evaluation));
    let main_column = Column::of(recipe.label(), main);
    let columns: Vec<Column> = recorded.into_iter().chain(others).chain([main_column]).collect();
    say!("{}", table::comparison(main, &columns));
    if recipe.train.eval_every < recipe.train.steps {
        say!("{}", table::peaks(main));
    }
    say!("run: {}", path.display());
    say!("look: polyptych predict {} PHOTOGRAPH..", path.display());
    say!("fold: polyptych merge {}", path.display());
}

/// `runs/<name>`, or `runs/<name>-2` and so on where that is taken.
fn free_folder(name: &str) -> PathBuf {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let names = std::iter::once(name.to_owned()).chain(numbered);
    let mut paths = names.map(|name| Path::new("runs").join(name));
    paths.find(|path| !path.exists()).expect("there are infinitely many numbers")
}
