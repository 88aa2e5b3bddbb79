//! A run in stages: one after the other, each to its end.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use polyptych_engine::{OpenStage, Ranks, Recipe, StageResult, StagedRun, TrainOutcome};

use crate::output::{note, say};
use crate::trainer::{changed, introduce, prepared, train};
use crate::{processes, prune};

/// Trains what is left of the stages of `run`, with `overrides` of the first of them: the outcome of
/// the one that ended last.
///
/// # Errors
/// As that of any run.
pub(crate) fn train_rest(
    ranks: &Ranks,
    run: &mut StagedRun,
    overrides: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<TrainOutcome> {
    let last = run.recipe().stage.len() - 1;
    let mut index = run.next().unwrap_or(last);
    let mut overrides = overrides;
    loop {
        let outcome = train_stage(ranks, run, index, overrides, stop)?;
        if outcome.finished && run.next() == Some(index) {
            let report = run.finish_stage(ranks, index)?;
            if let (Some(report), Some(pruned)) = (report, run.pruned()) {
                prune::show(&report, &pruned);
            }
        }
        if !outcome.finished || index == last {
            return Ok(outcome);
        }
        (index, overrides) = (index + 1, &[]);
    }
}

fn train_stage(
    ranks: &Ranks,
    run: &mut StagedRun,
    index: usize,
    overrides: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<TrainOutcome> {
    let opened = run.open_stage(ranks, index, overrides)?;
    let OpenStage { mut trainer, preparation, changes } = opened;
    let stages = &run.recipe().stage;
    note!("stage {} of {}, {}", index + 1, stages.len(), stages[index].name);
    changed(&trainer, &changes);
    if let Some(preparation) = preparation {
        prepared(trainer.recipe(), &preparation);
    }
    introduce(&trainer);
    train(&mut trainer, stop)
}

/// Says what each stage of `recipe` would be.
///
/// # Errors
/// Data that cannot be opened.
pub(crate) fn plan(recipe: &Recipe, size: usize, local_size: usize) -> Result<ExitCode> {
    for (index, stage) in recipe.stage.iter().enumerate() {
        let own = recipe.of_stage(index, Path::new("RUN"))?;
        say!(
            "stage {} of {}, {}: {}, from {}, {} steps of {}, {}",
            index + 1,
            recipe.stage.len(),
            stage.name,
            own.label(),
            match &own.extend {
                Some(extend) => extend.run.display().to_string(),
                None => own.backbone.weights.clone(),
            },
            own.train.steps,
            own.task_names().join(", "),
            match stage.result {
                StageResult::Keep => "kept",
                StageResult::Merge => "merged",
                StageResult::Prune => "pruned",
                StageResult::Drop => "dropped at the end",
            }
        );
        processes::plan(&own, size, local_size)?;
    }
    Ok(ExitCode::SUCCESS)
}
