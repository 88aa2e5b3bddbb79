//! A trainer at work: what it says before it starts, and its progress.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use polyptych_engine::{
    Change, ExpertLayer, ParameterSummary, Preparation, Recipe, TrainOutcome, Trainer, summary,
    torch_version,
};

use crate::output::note;
use crate::progress::Progress;

/// Says what has changed of the recipe.
pub(crate) fn changed(trainer: &Trainer, changes: &[Change]) {
    if !changes.is_empty() {
        let changed: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let path = trainer.folder().path().display();
        note!("{path}: changed from step {} on: {}", trainer.step(), changed.join(", "));
    }
}

/// Says what the run begins with.
pub(crate) fn prepared(recipe: &Recipe, preparation: &Preparation) {
    if let Some(report) = &preparation.weights {
        note!("backbone {}: {}", recipe.backbone.weights, summary(report));
    }
    if let (Some(report), Some(extend)) = (&preparation.extended, &recipe.extend) {
        note!("{} and {}: {}", extend.run.display(), extend.tasks.join(", "), summary(report));
    }
    if let Some(compose) = &recipe.compose {
        let runs: Vec<String> = compose.runs.iter().map(|run| run.display().to_string()).collect();
        note!("{} takes parameters of {}", recipe.adapter.name(), runs.join(", "));
    }
    if !preparation.experts.is_empty() {
        note!("{}", experts(&preparation.experts));
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

/// Says what trains.
pub(crate) fn introduce(trainer: &Trainer) {
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
            size =>
                format!("{size} processes over {}, ", trainer.ranks().backend().unwrap_or("gloo")),
        },
        torch_version(),
    );
}

/// Trains to the end, or until `stop` is set.
///
/// # Errors
/// As [`Trainer::run`].
pub(crate) fn train(trainer: &mut Trainer, stop: &Arc<AtomicBool>) -> Result<TrainOutcome> {
    let mut progress = Progress::new(trainer, stop.clone());
    let outcome = trainer.run(&mut progress);
    progress.finish();
    Ok(outcome?)
}
