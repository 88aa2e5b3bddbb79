//! The closing rows of a recipe's table, trained below the folder of its run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use polyptych_engine::{
    Baselines, Change, Evaluation, Ranks, Recipe, RunFolder, StagedRun, TrainOutcome, Trainer,
};

use crate::output::note;
use crate::stages;
use crate::trainer::{introduce, train};

/// Trains the closing rows of the recipe at the same budget, below the folder of the run.
pub(crate) fn compare(
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
            note!(
                "{name}: {left_out} is left out, because its tasks share no trainable parameters"
            );
        }
        let folder = path.join("compare").join(row.folder());
        let evaluation = match row.separate {
            true => separate(ranks, &other, &folder, stop)?,
            false => finished(trained(ranks, other, baselines, &folder, stop)?),
        };
        match evaluation {
            Some(evaluation) => done.push((name, evaluation)),
            None => {
                note!("stopped: the comparison with {name} is not finished");
                return Ok(None);
            }
        }
    }
    Ok(Some(done))
}

/// Trains every task of a row alone, below `folder`: what all of them measured.
fn separate(
    ranks: &Ranks,
    recipe: &Recipe,
    folder: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<Option<Evaluation>> {
    let mut tasks = Vec::new();
    for task in recipe.task_names() {
        // Recorded baselines are those of all tasks.
        let own = Recipe { baselines: None, ..recipe.of_tasks(std::slice::from_ref(&task))? };
        match finished(trained(ranks, own, None, &folder.join(&task), stop)?) {
            Some(evaluation) => tasks.extend(evaluation.tasks),
            None => return Ok(None),
        }
    }
    Ok(Some(Evaluation { tasks, delta_m: None }))
}

fn finished(outcome: TrainOutcome) -> Option<Evaluation> {
    outcome.evaluation.filter(|_| outcome.finished)
}

/// Trains a row's run: new, or that of an earlier call, whose steps and rates become those of
/// `recipe`.
fn trained(
    ranks: &Ranks,
    recipe: Recipe,
    baselines: Option<&Baselines>,
    folder: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<TrainOutcome> {
    if !recipe.stage.is_empty() {
        let known = ranks.of_first(&StagedRun::is(folder).to_string())?;
        let mut run = match known.as_str() {
            "true" => StagedRun::open(ranks, folder)?,
            _ => StagedRun::create(ranks, &recipe, baselines, folder)?,
        };
        return stages::train_rest(ranks, &mut run, &[], stop);
    }
    let mut trainer = started(ranks, recipe, baselines, folder)?;
    introduce(&trainer);
    train(&mut trainer, stop)
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
