//! Median and quartiles.

use serde::{Deserialize, Serialize};

/// Of a sample; quartiles are the nearest ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    /// A quarter of the sample lies below.
    pub(super) low: f64,
    /// Half of it.
    pub(super) median: f64,
    /// Three quarters of it.
    pub(super) high: f64,
}

impl Spread {
    /// Of at least one number.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sample: Vec<f64> = numbers.into_iter().collect();
        sample.sort_by(f64::total_cmp);
        let at = |share: f64| sample[((sample.len() - 1) as f64 * share).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    /// `1.23 (1.20 to 1.31)`.
    pub(super) fn shown(self) -> String {
        format!("{:.2} ({:.2} to {:.2})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_ranks() {
        let spread = Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(spread, Spread { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(spread.shown(), "3.00 (2.00 to 4.00)");
    }
}
