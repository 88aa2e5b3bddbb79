//! Is a row what its recipe expects?

use std::fmt;

use serde::Serialize;

use super::spread::average;
use super::summary::Summary;

/// Expected and found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// Whether every field lies in its band.
    pub(crate) in_band: bool,
    /// The first field that does not.
    pub(crate) differs: Option<Difference>,
}

/// A field outside of its band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// The field.
    pub(crate) field: String,
    /// Lowest and highest mean.
    pub(crate) expected: [f64; 2],
    /// The mean, if the row has the field.
    pub(crate) found: Option<f64>,
}

/// Compares means with the row's bands; none where it has no band.
pub(crate) fn judge(summary: &Summary) -> Option<Verdict> {
    let bands = &summary.row.band;
    let outside = |(field, &expected): (&String, &[f64; 2])| {
        let found = field_of(summary, field);
        let inside = found.is_some_and(|found| (expected[0]..=expected[1]).contains(&found));
        (!inside).then(|| Difference { field: field.clone(), expected, found })
    };
    let differs = bands.iter().find_map(outside);
    (!bands.is_empty()).then_some(Verdict { in_band: differs.is_none(), differs })
}

/// `delta_m`, `mean`, a task for its headline, `task.score`, or a score's mean over tasks.
fn field_of(summary: &Summary, field: &str) -> Option<f64> {
    match field {
        "delta_m" => return Some(summary.delta_m?.mean),
        "mean" => return Some(summary.mean?.mean),
        _ => {}
    }
    if let Some(headline) = summary.headline(field) {
        return Some(headline.spread.mean);
    }
    let named = |score: &&super::summary::ScoreSpread| {
        score.name == field || format!("{}.{}", score.task, score.name) == field
    };
    let means: Vec<f64> =
        summary.scores.iter().filter(named).map(|score| score.spread.mean).collect();
    average(&means)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Difference { field, expected: [low, high], found }) = &self.differs else {
            return write!(f, "in band");
        };
        let found = found.map_or_else(|| "no such number".into(), |found| format!("{found:.2}"));
        write!(f, "outside: {field} expected {low} to {high}, found {found}")
    }
}
