//! The rows of a table, of runs here and of what the table has of runs elsewhere.

use anyhow::Result;

use super::continued::joined;
use super::outcome::Outcome;
use super::plan::{Plan, Row};
use super::singles::Singles;
use super::summary::{Against, Summary};
use crate::lab::machine::Origin;
/// The rows of `plan` that have results for some of the first `seeds` seeds, and those of `kept`
/// that have none here; runs here were made by `origin`.
pub(crate) fn all(
    plan: &Plan,
    seeds: u64,
    origin: &Origin,
    kept: &[Summary],
) -> Result<Vec<Summary>> {
    let outcomes = (0..plan.rows.len()).map(|row| row_outcomes(plan, row, seeds));
    let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
    let kept = |row: &Row| kept.iter().find(|kept| kept.row.name == row.name);
    let reference = plan.rows.iter().position(|row| row.reference);
    let reference = reference.map(|index| singles(&outcomes[index], kept(&plan.rows[index])));
    let own = outcomes.first().map_or(&[][..], Vec::as_slice);
    let alone = plan.rows.iter().position(|row| row.separate);
    let alone = alone.map(|index| singles(&outcomes[index], kept(&plan.rows[index])));
    let (reference, alone) = (reference.as_ref(), alone.as_ref());
    let against = Against { reference, alone, own, origin };
    let rows = plan.rows.iter().zip(&outcomes).filter_map(|(row, outcomes)| {
        match kept(row).filter(|_| !whole(outcomes)) {
            Some(kept) => Some(joined(kept.renewed(row, &against), outcomes, &against)),
            None => (!outcomes.is_empty()).then(|| Summary::of(row, outcomes, &against)),
        }
    });
    Ok(rows.collect())
}

/// Whether no seed of them is elsewhere.
fn whole(outcomes: &[Outcome]) -> bool {
    outcomes.first().is_some_and(|first| first.seed == 0)
}

/// What the runs `outcomes` have, behind the seeds of `kept` that are elsewhere: its values are
/// those of seeds 0, 1 and so on.
fn singles(outcomes: &[Outcome], kept: Option<&Summary>) -> Singles {
    let mut singles = Singles::default();
    outcomes.iter().for_each(|outcome| singles.insert(outcome.seed, outcome.headlines()));
    if let Some(kept) = kept.filter(|_| !whole(outcomes)) {
        (0..kept.seeds).for_each(|seed| singles.insert(seed as u64, kept.headlines(seed)));
    }
    singles
}

fn row_outcomes(plan: &Plan, row: usize, seeds: u64) -> Result<Vec<Outcome>> {
    (0..seeds).filter_map(|seed| Outcome::read(plan, row, seed).transpose()).collect()
}
