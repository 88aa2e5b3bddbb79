//! Sums that do not depend on the order of their terms.

use serde::{Deserialize, Serialize};

/// The sum of finite numbers without any error but the last rounding: what is added in parts, in
/// whatever order, is the same number to the last bit (Shewchuk 1997, as Python's `math.fsum`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExactSum {
    /// Numbers whose bits do not overlap, by rising size; their sum is the sum.
    partials: Vec<f64>,
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, number: f64) {
        let (mut number, mut kept) = (number, 0);
        for index in 0..self.partials.len() {
            let (sum, error) = two_sum(number, self.partials[index]);
            if error != 0.0 {
                self.partials[kept] = error;
                kept += 1;
            }
            number = sum;
        }
        self.partials.truncate(kept);
        self.partials.push(number);
    }

    /// Adds all that `other` has added up.
    pub fn merge(&mut self, other: &Self) {
        other.partials.iter().for_each(|&partial| self.add(partial));
    }

    /// The sum, rounded to the nearest number.
    pub fn value(&self) -> f64 {
        let mut left = self.partials.clone();
        let Some(mut high) = left.pop() else { return 0.0 };
        let mut low = 0.0;
        while let Some(next) = left.pop() {
            (high, low) = two_sum(high, next);
            if low != 0.0 {
                break;
            }
        }
        // What is left decides between two numbers that are as near.
        if left.last().is_some_and(|rest| (*rest > 0.0) == (low > 0.0) && low != 0.0) {
            let (twice, up) = (low * 2.0, high + low * 2.0);
            if twice == up - high {
                high = up;
            }
        }
        high
    }
}

/// The rounded sum, and what rounding has cut off.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let (large, small) = if a.abs() < b.abs() { (b, a) } else { (a, b) };
    let sum = large + small;
    (sum, small - (sum - large))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|&number| sum.add(number));
        sum.value()
    }

    /// Those of Python's tests of `math.fsum`.
    #[test]
    fn sums_are_rounded_once() {
        let cases: [(&[f64], f64); 7] = [
            (&[], 0.0),
            (&[1e100, 1.0, -1e100, 1e-100, 1e50, -1.0, -1e50], 1e-100),
            (&[9007199254740992.0, -0.5, -5.551115123125783e-17], 9007199254740991.0),
            (&[9007199254740992.0, 1.0, 5.551115123125783e-17], 9007199254740994.0),
            (&[9007199254740996.0, 1.0, 5.551115123125783e-17], 9007199254740998.0),
            (&[1e16, 1.0, 1e-16], 10000000000000002.0),
            (&[0.1; 10], 1.0),
        ];
        for (numbers, expected) in cases {
            assert_eq!(sum(numbers), expected, "{numbers:?}");
        }
    }

    #[test]
    fn parts_and_orders_change_nothing() {
        let numbers: Vec<f64> = (0..500).map(|i| f64::from(i * 7919 % 1009).sin().exp()).collect();
        let expected = sum(&numbers);
        let backwards: Vec<f64> = numbers.iter().rev().copied().collect();
        assert_eq!(sum(&backwards), expected);
        let mut whole = ExactSum::default();
        for part in numbers.chunks(71).rev() {
            let mut own = ExactSum::default();
            part.iter().for_each(|&number| own.add(number));
            whole.merge(&own);
        }
        assert_eq!(whole.value(), expected);
    }
}
