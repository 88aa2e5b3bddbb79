//! From the scores of a round to the candidates that go on, and to the choice.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::settings::Settings;
use super::trial::{Trial, Tried};
use crate::lab::reproduce::outcome::Score;
use crate::lab::reproduce::plan::Plan;
use crate::lab::reproduce::spread::{average, change};

/// All rounds of one row, or of one task of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// Title of the row.
    pub(crate) name: String,
    /// The task, where every task has a model of its own.
    pub(crate) task: Option<String>,
    /// What the best candidate sets.
    pub(crate) chosen: Vec<String>,
    /// Whether its rate is the lowest or the highest that was tried.
    pub(crate) at_an_end: bool,
    /// The rounds.
    pub(crate) rounds: Vec<Round>,
}

/// One round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Steps of each trial.
    pub(crate) steps: u64,
    /// Seed of its trials.
    pub(crate) seed: u64,
    /// Candidates, best first.
    pub(crate) candidates: Vec<Scored>,
}

/// A candidate of a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// Mean relative change against the round's medians, in percent; none where it failed.
    pub(crate) score: Option<f64>,
    /// What it is of.
    #[serde(flatten)]
    pub(crate) tried: Tried,
}

/// How far a choice is.
#[derive(Debug)]
pub(super) enum Progress {
    /// These trials of a round are missing.
    Open(Vec<Trial>),
    /// It is made.
    Made(Box<Choice>),
}

impl Progress {
    /// Looks at the files of the choice, and at trials that are `elsewhere`.
    ///
    /// # Errors
    /// Files of another recipe; a round in which every trial failed.
    pub(super) fn of(
        plan: &Plan,
        settings: &Settings,
        place: &Place,
        elsewhere: &[Tried],
    ) -> Result<Self> {
        let mut rounds: Vec<Round> = Vec::new();
        let mut candidates: Vec<usize> = (0..settings.lr.len()).collect();
        for (round, size) in settings.sizes().into_iter().enumerate() {
            candidates.truncate(size);
            let (mut open, mut done) = (Vec::new(), Vec::new());
            for trial in Trial::of(plan, settings, place, round, &candidates) {
                match trial.tried(plan)?.or_else(|| trial.among(elsewhere, plan)) {
                    Some(tried) => done.push(tried),
                    None => open.push(trial),
                }
            }
            if !open.is_empty() {
                return Ok(Self::Open(open));
            }
            let scored = scored(done);
            candidates = scored.iter().map(|scored| scored.tried.candidate).collect();
            let (steps, seed) = (settings.steps[round], settings.seed + round as u64);
            rounds.push(Round { steps, seed, candidates: scored });
        }
        Choice::of(plan, settings, place, rounds).map(|choice| Self::Made(Box::new(choice)))
    }
}

impl Choice {
    fn of(plan: &Plan, settings: &Settings, place: &Place, rounds: Vec<Round>) -> Result<Self> {
        let name = place.row(plan).name.clone();
        let best = rounds.last().and_then(|round| round.candidates.first());
        let best = best.filter(|best| best.score.is_some());
        let best = best.with_context(|| {
            let folder = plan.folder.join(&place.row(plan).slug);
            format!("{name}: expected a trial that ends, found none in {}", folder.display())
        })?;
        let rate = settings.lr[best.tried.candidate];
        let [low, high] = settings
            .lr
            .iter()
            .fold([f64::INFINITY, 0.0f64], |[low, high], &rate| [low.min(rate), high.max(rate)]);
        Ok(Self {
            name,
            task: place.task.clone(),
            chosen: best.tried.sets.clone(),
            at_an_end: rate == low || rate == high,
            rounds,
        })
    }
}

/// Where the choices of the recipe `name` lie among the results.
pub(crate) fn file(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.tuning.json"))
}

/// Best first; those that failed last, in their old order.
///
/// The reference of a task is the median of the round, so that one candidate that went astray
/// moves nothing. A task whose median is 0 has no relative change and is left out.
fn scored(trials: Vec<Tried>) -> Vec<Scored> {
    let medians = medians(&trials);
    let score = |tried: &Tried| {
        let scores = tried.tasks.iter().zip(&medians).filter_map(|(task, &(higher, median))| {
            Some(change(task.scores.first()?.value, median, higher)).filter(|_| median != 0.0)
        });
        average(&scores.collect::<Vec<_>>()).filter(|score| score.is_finite())
    };
    let mut scored: Vec<Scored> =
        trials.into_iter().map(|tried| Scored { score: score(&tried), tried }).collect();
    let key = |scored: &Scored| scored.score.unwrap_or(f64::NEG_INFINITY);
    scored.sort_by(|a, b| key(b).total_cmp(&key(a)));
    scored
}

fn medians(trials: &[Tried]) -> Vec<(bool, f64)> {
    let done: Vec<&Tried> = trials.iter().filter(|tried| tried.failed.is_none()).collect();
    let tasks = done.first().map_or(0, |tried| tried.tasks.len());
    let of = |task: usize| {
        let scores = done.iter().filter_map(|tried| tried.tasks.get(task)?.scores.first());
        let scores: Vec<&Score> = scores.collect();
        let mut values: Vec<f64> = scores.iter().map(|score| score.value).collect();
        values.sort_by(f64::total_cmp);
        let middle = [values[(values.len() - 1) / 2], values[values.len() / 2]];
        (scores[0].higher_is_better, (middle[0] + middle[1]) / 2.0)
    };
    (0..tasks).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::machine::Git;
    use crate::lab::reproduce::outcome::TaskScores;
    use crate::lab::reproduce::record::Record;

    fn tried(candidate: usize, values: &[(f64, bool)]) -> Tried {
        let score = |&(value, higher_is_better): &(f64, bool)| TaskScores {
            task: "t".into(),
            scores: vec![Score { name: "s".into(), value, unit: String::new(), higher_is_better }],
        };
        let git = Git::default();
        let record = Record { recipe: String::new(), arguments: Vec::new(), git, wall_s: 0.0 };
        let failed = values.is_empty().then(|| "exit status: 1".to_owned());
        let tasks = values.iter().map(score).collect();
        Tried { candidate, sets: Vec::new(), tasks, failed, record }
    }

    #[test]
    fn candidates_are_ranked_by_their_mean_change_against_medians() {
        let [a, b, c] = [
            [(60.0, true), (2.0, false)],
            [(50.0, true), (1.0, false)],
            [(40.0, true), (4.0, false)],
        ];
        let scored = scored(vec![tried(0, &a), tried(1, &b), tried(2, &[]), tried(3, &c)]);
        let order: Vec<usize> = scored.iter().map(|scored| scored.tried.candidate).collect();
        assert_eq!(order, [1, 0, 3, 2]);
        // Medians are 50 and 2.
        let scores: Vec<Option<f64>> = scored.iter().map(|scored| scored.score).collect();
        assert_eq!(scores, [Some(25.0), Some(10.0), Some(-60.0), None]);
    }

    #[test]
    fn a_task_whose_median_is_nothing_is_left_out() {
        let trials = [[(0.0, true), (2.0, false)], [(0.0, true), (4.0, false)]];
        let scored = scored(trials.iter().enumerate().map(|(i, t)| tried(i, t)).collect());
        assert!(scored.iter().all(|scored| scored.score.is_some()), "{scored:?}");
    }
}
