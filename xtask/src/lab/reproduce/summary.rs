//! All seeds of a row as one line.

use serde::{Deserialize, Serialize};

use super::made::Made;
use super::outcome::{Done, Outcome, Score};
use super::plan::Row;
use super::pruned::Pruned;
use super::singles::{Headline, Singles};
use super::spread::{Spread, average};
use super::stages::Stages;
use super::{band, band::Verdict};
use crate::lab::machine::Origin;

/// A row of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Time of the pruned model, in milliseconds; none of rows that do not end as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pruned_ms: Option<Spread>,
    /// Multiply-adds of the adapted projections that pruning left, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) multiply_adds: Option<Spread>,
    /// Median training step over that of the recipe's own method with the same seed; none of rows
    /// of separate models.
    pub(crate) step_ratio: Option<Spread>,
    /// Most memory that training held, in MiB; none of rows of separate models.
    pub(crate) peak_mib: Option<Spread>,
    /// Number of seeds.
    pub(crate) seeds: usize,
    /// Headlines behind every stage, where a task is in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stages: Option<Stages>,
    /// Whether the row is as expected, where something is expected.
    pub(crate) band: Option<Verdict>,
    /// With what its runs were made.
    #[serde(default)]
    pub(crate) made: Made,
    /// Everything that was trained for it, none where that is elsewhere; their folders hold more than the data of a page
    /// needs.
    #[serde(skip)]
    pub(crate) runs: Vec<Done>,
}

/// One score of one task over the seeds.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// What rows are compared with, and with what they were made.
pub(crate) struct Against<'a> {
    /// What delta-m compares with.
    pub(crate) reference: Option<&'a Singles>,
    /// Models of single tasks, of whatever method.
    pub(crate) alone: Option<&'a Singles>,
    /// The first row, which steps are compared with.
    pub(crate) own: &'a [Outcome],
    /// Machine and versions of the runs here.
    pub(crate) origin: &'a Origin,
}

impl Against<'_> {
    fn stages(&self, stages: Option<Stages>, seeds: &[u64]) -> Option<Stages> {
        match self.alone {
            Some(alone) => stages.map(|stages| stages.against(alone, seeds)),
            None => stages,
        }
    }
}

impl Summary {
    /// The runs `outcomes` of `row`.
    pub(crate) fn of(row: &Row, outcomes: &[Outcome], against: &Against) -> Self {
        let runs: Vec<Done> = outcomes.iter().flat_map(|outcome| outcome.runs.clone()).collect();
        let over = |value: &dyn Fn(&Outcome) -> Option<f64>| {
            Spread::of(&outcomes.iter().filter_map(value).collect::<Vec<_>>())
        };
        let seeds: Vec<u64> = outcomes.iter().map(|outcome| outcome.seed).collect();
        let mut summary = Self {
            row: row.clone(),
            trainable: outcomes.first().map_or(0, Outcome::trainable),
            total: outcomes.first().map_or(0, Outcome::total),
            scores: scores(outcomes),
            mean: over(&mean_headline),
            delta_m: over(&|outcome| delta_m(outcome, against.reference)),
            adapted_ms: over(&|outcome| Some(outcome.adapted_ms())),
            merged_ms: over(&Outcome::merged_ms),
            pruned_ms: over(&|outcome| outcome.pruned().map(Pruned::ms)),
            multiply_adds: over(&|outcome| outcome.pruned().map(Pruned::multiply_adds)),
            step_ratio: over(&|outcome| step_ratio(outcome, against.own)),
            peak_mib: over(&|outcome| Some(outcome.cost().peak_bytes? as f64 / 1_048_576.0)),
            seeds: outcomes.len(),
            stages: against.stages(Stages::of(outcomes), &seeds),
            band: None,
            made: Made::of(&runs, against.origin),
            runs,
        };
        summary.judge();
        summary
    }

    /// Sets whether the row is as expected.
    pub(crate) fn judge(&mut self) {
        self.band = band::judge(&self.row.band, |field| self.mean_of(field));
    }

    /// A row without runs, compared with what the others are compared with.
    pub(crate) fn renewed(&self, row: &Row, against: &Against) -> Self {
        let mut summary = Self { row: row.clone(), ..self.clone() };
        let seeds: Vec<u64> = (0..self.seeds as u64).collect();
        summary.stages = against.stages(summary.stages, &seeds);
        if let Some(reference) = against.reference {
            let of = |seed| reference.delta_m(seed as u64, self.headlines(seed));
            summary.delta_m = Spread::of(&(0..self.seeds).filter_map(of).collect::<Vec<_>>());
        }
        summary.judge();
        summary
    }

    /// The headlines of the seed at place `index`.
    pub(crate) fn headlines(&self, index: usize) -> impl Iterator<Item = Headline<'_>> {
        self.scores.iter().filter(|score| score.headline).filter_map(move |score| {
            Some((score.task.as_str(), *score.values.get(index)?, score.higher_is_better))
        })
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

/// Seconds of all runs of which they are known.
pub(crate) fn wall(rows: &[Summary]) -> f64 {
    rows.iter().filter_map(|row| row.made.wall_s).sum()
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
fn delta_m(outcome: &Outcome, reference: Option<&Singles>) -> Option<f64> {
    match reference {
        Some(reference) => reference.delta_m(outcome.seed, outcome.headlines()),
        None => outcome.recorded_delta_m(),
    }
}
