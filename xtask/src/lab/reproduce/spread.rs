//! Mean and standard deviation over seeds, and delta-m.

use serde::{Deserialize, Serialize};

/// How the spread is defined, in words.
pub(crate) const DEFINITION: &str =
    "sample standard deviation over seeds (n - 1 in the denominator); none for a single seed";

/// A mean over seeds with its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The mean.
    pub(crate) mean: f64,
    /// Sample standard deviation, with n - 1; none for a single seed.
    pub(crate) sd: Option<f64>,
    /// Number of seeds.
    pub(crate) n: usize,
}

impl Spread {
    /// Of `values`; none if there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = average(values)?;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, n })
    }

    /// Over the values of both, which are of other seeds.
    pub(crate) fn and(self, other: Self) -> Self {
        let (here, there) = (self.n as f64, other.n as f64);
        let n = self.n + other.n;
        let mean = (here * self.mean + there * other.mean) / (here + there);
        let between = here * there / (here + there) * (self.mean - other.mean).powi(2);
        let sd = ((self.squares() + other.squares() + between) / (n - 1) as f64).sqrt();
        Self { mean, sd: Some(sd), n }
    }

    /// Sum of squared distances from the mean.
    fn squares(&self) -> f64 {
        self.sd.map_or(0.0, |sd| sd.powi(2) * (self.n - 1) as f64)
    }

    /// With `digits` after the point: `61.20 ± 0.31`.
    pub(crate) fn text(&self, digits: usize) -> String {
        let sd = self.sd.map_or_else(String::new, |sd| format!(" ± {sd:.digits$}"));
        format!("{:.digits$}{sd}", self.mean)
    }

    /// As [`Self::text`], with a sign before the mean.
    pub(crate) fn signed(&self, digits: usize) -> String {
        let sign = if self.mean >= 0.0 { "+" } else { "" };
        format!("{sign}{}", self.text(digits))
    }
}

/// The mean; none of nothing.
pub(crate) fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// One task's part of delta-m, in percent: `100 (-1)^l (M - S) / S`.
///
/// `M` is the result, `S` the reference, `l` is 1 where lower is better.
pub(crate) fn change(result: f64, reference: f64, higher_is_better: bool) -> f64 {
    let change = 100.0 * (result - reference) / reference;
    if higher_is_better { change } else { -change }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_divides_by_one_less_than_the_number() {
        let spread = Spread::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { mean: 2.0, sd: Some(1.0), n: 3 });
        assert_eq!((spread.text(2), spread.signed(1)), ("2.00 ± 1.00".into(), "+2.0 ± 1.0".into()));
        assert_eq!(Spread::of(&[-4.0]).unwrap().signed(1), "-4.0");
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn two_spreads_are_as_one_over_all_values() {
        let values = [3.0, 1.0, 4.0, 1.5, 9.0];
        let whole = Spread::of(&values).unwrap();
        for cut in 1..values.len() {
            let [first, last] = [&values[..cut], &values[cut..]].map(|v| Spread::of(v).unwrap());
            let both = first.and(last);
            assert_eq!(both.n, whole.n);
            assert!((both.mean - whole.mean).abs() < 1e-12, "{both:?}");
            assert!((both.sd.unwrap() - whole.sd.unwrap()).abs() < 1e-12, "{both:?}");
        }
    }

    // Published rows of MTLoRA's outside reproduction and of its single-task baselines.
    #[test]
    fn delta_m_agrees_with_published_numbers() {
        let results = [(68.38, 67.21, true), (59.58, 61.93, true), (63.85, 62.35, true)];
        let rows = results.into_iter().chain([(16.76, 17.97, false)]);
        let changes: Vec<f64> = rows.map(|(m, s, higher)| change(m, s, higher)).collect();
        assert!((average(&changes).unwrap() - 1.771).abs() < 5e-4);
    }
}
