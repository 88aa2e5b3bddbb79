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
        let folder = path.join("compare").join(name.replace(' ', "_"));
        let outcome = trained(ranks, other, baselines, &folder, stop)?;
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
