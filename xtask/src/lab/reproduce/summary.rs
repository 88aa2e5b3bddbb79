//! All seeds of a row as one line.

use serde::Serialize;

use super::outcome::{Done, Outcome, Score};
use super::plan::{Plan, Row};
use super::spread::{Spread, average, change};
use super::{band, band::Verdict};
use anyhow::Result;

/// A row of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// The method.
    #[serde(flatten)]
    pub(crate) row: Row,
    /// Parameters that train, over all models of the row.
    pub(crate) trainable: u64,
    /// All parameters, over all models of the row.
    pub(crate) total: u64,
    /// Scores of every task over the seeds, the headline of a task first.
    pub(crate) scores: Vec<ScoreSpread>,
    /// Mean headline over tasks, where all have the same unit and direction.
    pub(crate) mean: Option<Spread>,
    /// Mean relative change against single-task models, in percent.
    pub(crate) delta_m: Option<Spread>,
    /// Time before merging, in milliseconds.
    pub(crate) adapted_ms: Option<Spread>,
    /// Time after merging, in milliseconds; none where the method does not merge.
    #[serde(rename = "folded_ms")]
    pub(crate) merged_ms: Option<Spread>,
    /// Median training step over that of the recipe's own method with the same seed; none of rows
    /// of separate models.
    pub(crate) step_ratio: Option<Spread>,
    /// Most memory that training held, in MiB; none of rows of separate models.
    pub(crate) peak_mib: Option<Spread>,
    /// Number of seeds.
    pub(crate) seeds: usize,
    /// Whether the row is as expected, where something is expected.
    pub(crate) band: Option<Verdict>,
    /// Everything that was trained for it; their folders hold more than the data of a page needs.
    #[serde(skip)]
    pub(crate) runs: Vec<Done>,
}

/// One score of one task over the seeds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScoreSpread {
    /// The task.
    pub(crate) task: String,
    /// Whether it is the one that methods are compared by.
    pub(crate) headline: bool,
    /// Its name.
    pub(crate) name: String,
    /// Its unit, maybe empty.
    pub(crate) unit: String,
    /// Whether more is better.
    pub(crate) higher_is_better: bool,
    /// Over the seeds.
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// Seed by seed.
    pub(crate) values: Vec<f64>,
}

/// The rows of `plan` that have results for some of the first `seeds` seeds.
pub(crate) fn all(plan: &Plan, seeds: u64) -> Result<Vec<Summary>> {
    let outcomes = (0..plan.rows.len()).map(|row| row_outcomes(plan, row, seeds));
    let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
    let reference = plan.rows.iter().position(|row| row.reference).map(|row| &outcomes[row][..]);
    let own = outcomes.first().map_or(&[][..], Vec::as_slice);
    let rows = plan.rows.iter().zip(&outcomes).filter(|(_, outcomes)| !outcomes.is_empty());
    Ok(rows.map(|(row, outcomes)| Summary::of(row, outcomes, reference, own)).collect())
}

fn row_outcomes(plan: &Plan, row: usize, seeds: u64) -> Result<Vec<Outcome>> {
    (0..seeds).filter_map(|seed| Outcome::read(plan, row, seed).transpose()).collect()
}

impl Summary {
    fn of(row: &Row, outcomes: &[Outcome], reference: Option<&[Outcome]>, own: &[Outcome]) -> Self {
        let over = |value: &dyn Fn(&Outcome) -> Option<f64>| {
            Spread::of(&outcomes.iter().filter_map(value).collect::<Vec<_>>())
        };
        let mut summary = Self {
            row: row.clone(),
            trainable: outcomes.first().map_or(0, Outcome::trainable),
            total: outcomes.first().map_or(0, Outcome::total),
            scores: scores(outcomes),
            mean: over(&mean_headline),
            delta_m: over(&|outcome| delta_m(outcome, reference)),
            adapted_ms: over(&|outcome| Some(outcome.adapted_ms())),
            merged_ms: over(&Outcome::merged_ms),
            step_ratio: over(&|outcome| step_ratio(outcome, own)),
            peak_mib: over(&|outcome| Some(outcome.cost().peak_bytes? as f64 / 1_048_576.0)),
            seeds: outcomes.len(),
            band: None,
            runs: outcomes.iter().flat_map(|outcome| outcome.runs.clone()).collect(),
        };
        summary.band = band::judge(&row.band, |field| summary.mean_of(field));
        summary
    }

    /// `delta_m`, `mean`, a task for its headline, `task.score`, or a score's mean over tasks.
    fn mean_of(&self, field: &str) -> Option<f64> {
        match field {
            "delta_m" => return Some(self.delta_m?.mean),
            "mean" => return Some(self.mean?.mean),
            _ => {}
        }
        if let Some(headline) = self.headline(field) {
            return Some(headline.spread.mean);
        }
        let named = |score: &&ScoreSpread| {
            score.name == field || format!("{}.{}", score.task, score.name) == field
        };
        let scores = self.scores.iter().filter(named);
        average(&scores.map(|score| score.spread.mean).collect::<Vec<_>>())
    }

    /// The headline of `task`.
    pub(crate) fn headline(&self, task: &str) -> Option<&ScoreSpread> {
        self.scores.iter().find(|score| score.headline && score.task == task)
    }
}

/// Seconds of all runs.
pub(crate) fn wall(rows: &[Summary]) -> f64 {
    rows.iter().flat_map(|row| &row.runs).map(|run| run.record.wall_s).sum()
}

/// Tasks of all `rows` in order of appearance.
pub(crate) fn tasks(rows: &[Summary]) -> Vec<&str> {
    let mut tasks = Vec::new();
    for score in rows.iter().flat_map(|row| &row.scores) {
        if !tasks.contains(&score.task.as_str()) {
            tasks.push(&score.task);
        }
    }
    tasks
}

fn scores(outcomes: &[Outcome]) -> Vec<ScoreSpread> {
    let Some(first) = outcomes.first() else { return Vec::new() };
    let named = first.tasks().flat_map(|task| {
        task.scores.iter().enumerate().map(|(index, score)| (task.task.as_str(), index, score))
    });
    let spread = |(task, index, score): (&str, usize, &Score)| {
        let values: Vec<f64> =
            outcomes.iter().filter_map(|outcome| value(outcome, task, &score.name)).collect();
        Some(ScoreSpread {
            task: task.into(),
            headline: index == 0,
            name: score.name.clone(),
            unit: score.unit.clone(),
            higher_is_better: score.higher_is_better,
            spread: Spread::of(&values)?,
            values,
        })
    };
    named.filter_map(spread).collect()
}

fn value(outcome: &Outcome, task: &str, name: &str) -> Option<f64> {
    let scores = outcome.tasks().find(|scores| scores.task == task)?;
    Some(scores.scores.iter().find(|score| score.name == name)?.value)
}

fn mean_headline(outcome: &Outcome) -> Option<f64> {
    let headlines: Vec<&Score> = outcome.tasks().filter_map(|task| task.scores.first()).collect();
    let kind = |score: &Score| (score.unit.clone(), score.higher_is_better);
    let alike = headlines.windows(2).all(|pair| kind(pair[0]) == kind(pair[1]));
    let values: Vec<f64> = headlines.iter().map(|score| score.value).collect();
    average(&values).filter(|_| alike)
}

/// Against the recipe's own method with the same seed.
fn step_ratio(outcome: &Outcome, own: &[Outcome]) -> Option<f64> {
    let own = own.iter().find(|own| own.seed == outcome.seed)?;
    Some(outcome.cost().step_ms? / own.cost().step_ms?)
}

/// Against the separate models of the same seed, else against what the recipe recorded.
fn delta_m(outcome: &Outcome, reference: Option<&[Outcome]>) -> Option<f64> {
    let Some(reference) = reference else { return outcome.recorded_delta_m() };
    let reference = reference.iter().find(|reference| reference.seed == outcome.seed)?;
    let changes = outcome.tasks().map(|task| {
        let (result, single) = (task.scores.first()?, reference.headline(&task.task)?);
        Some(change(result.value, single.value, result.higher_is_better))
    });
    average(&changes.collect::<Option<Vec<_>>>()?)
}
