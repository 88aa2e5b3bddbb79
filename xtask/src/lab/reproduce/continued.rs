//! Rows of which some seeds are elsewhere: the runs here go on behind what the table has of them.

use anyhow::{Result, bail};

use super::flags::Reproduce;
use super::outcome::Outcome;
use super::plan::Plan;
use super::spread::Spread;
use super::summary::{Against, ScoreSpread, Summary};

/// Refuses `--first-seed` where the table has another number of seeds of a row before it.
///
/// # Errors
/// Names the row.
pub(crate) fn check(plan: &Plan, flags: &Reproduce, kept: &[Summary]) -> Result<()> {
    let first = flags.first_seed;
    if first >= flags.seeds {
        bail!("--first-seed: expected less than --seeds {}, found {first}", flags.seeds);
    }
    for row in plan.chosen(&flags.rows)?.into_iter().map(|index| &plan.rows[index].name) {
        let found = kept.iter().find(|kept| kept.row.name == *row).map_or(0, |kept| kept.seeds);
        if (found as u64) < first {
            bail!(
                "--first-seed: expected results of {first} seeds of {row} in the table, found \
                 {found}; leave the flag out to train all"
            );
        }
    }
    Ok(())
}

/// `kept`, whose runs are elsewhere, with those of `outcomes` that come behind its seeds.
pub(crate) fn joined(kept: Summary, outcomes: &[Outcome], against: &Against) -> Summary {
    let behind = |outcome: &&Outcome| outcome.seed >= kept.seeds as u64;
    let more: Vec<Outcome> = outcomes.iter().filter(behind).cloned().collect();
    if more.is_empty() {
        return kept;
    }
    let more = Summary::of(&kept.row, &more, against);
    let one_machine = kept.made.on == more.made.on;
    // Times of two machines have no mean.
    let time = |old, new| if one_machine { both(old, new) } else { new };
    let seeds = kept.seeds + more.seeds;
    let scores = kept.scores.iter().filter_map(|score| behind_each_other(score, &more.scores));
    let mut summary = Summary {
        scores: scores.collect(),
        mean: both(kept.mean, more.mean),
        delta_m: both(kept.delta_m, more.delta_m),
        adapted_ms: time(kept.adapted_ms, more.adapted_ms),
        merged_ms: time(kept.merged_ms, more.merged_ms),
        pruned_ms: time(kept.pruned_ms, more.pruned_ms),
        multiply_adds: both(kept.multiply_adds, more.multiply_adds),
        step_ratio: both(kept.step_ratio, more.step_ratio),
        peak_mib: both(kept.peak_mib, more.peak_mib),
        seeds,
        stages: kept.stages.zip(more.stages).map(|(old, new)| old.and(new)),
        made: kept.made.and(more.made, kept.seeds..seeds),
        ..more
    };
    summary.judge();
    summary
}

/// Over the seeds of both, or of the one that there is.
fn both(old: Option<Spread>, new: Option<Spread>) -> Option<Spread> {
    match (old, new) {
        (Some(old), Some(new)) => Some(old.and(new)),
        (old, new) => old.or(new),
    }
}

fn behind_each_other(old: &ScoreSpread, new: &[ScoreSpread]) -> Option<ScoreSpread> {
    let new = new.iter().find(|new| new.task == old.task && new.name == old.name)?;
    let values: Vec<f64> = old.values.iter().chain(&new.values).copied().collect();
    Some(ScoreSpread { spread: Spread::of(&values)?, values, ..old.clone() })
}
