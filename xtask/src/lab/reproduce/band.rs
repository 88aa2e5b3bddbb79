//! Is a row what its recipe expects?

use std::fmt;

use serde::{Deserialize, Serialize};

use super::plan::Band;

/// Expected and found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// Whether every field lies in its band.
    pub(crate) in_band: bool,
    /// The first field that does not.
    pub(crate) differs: Option<Difference>,
}

/// A field outside of its band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The field.
    pub(crate) field: String,
    /// Lowest and highest mean.
    pub(crate) expected: [f64; 2],
    /// The mean, if the row has the field.
    pub(crate) found: Option<f64>,
}

/// Compares the means that `mean` gives for the fields of `bands`; none where there is no band.
pub(crate) fn judge(bands: &Band, mean: impl Fn(&str) -> Option<f64>) -> Option<Verdict> {
    let outside = |(field, &expected): (&String, &[f64; 2])| {
        let found = mean(field);
        let inside = found.is_some_and(|found| (expected[0]..=expected[1]).contains(&found));
        (!inside).then(|| Difference { field: field.clone(), expected, found })
    };
    let differs = bands.iter().find_map(outside);
    (!bands.is_empty()).then_some(Verdict { in_band: differs.is_none(), differs })
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
