//! How far outputs of a model are from those that they should be.

use std::fmt;

use polyptych_tensor::{Kind, Tensor};
use serde::Serialize;

/// Largest difference that is allowed, as a part of the largest output.
pub(crate) const TOLERANCE: f64 = 1e-4;

/// The largest difference of two outputs, and how large the outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Largest absolute difference; NaN where shapes differ or a number is none.
    pub largest: f64,
    /// Largest absolute value of the expected output.
    pub of: f64,
}

impl Difference {
    /// That of `found`, where `expected` is right.
    pub(crate) fn between(found: &Tensor, expected: &Tensor) -> Self {
        let [found, expected] = [found, expected].map(|t| t.to_kind(Kind::Float));
        let largest = match found.size() == expected.size() {
            true => largest_of(&(found - &expected)),
            false => f64::NAN,
        };
        Self { largest, of: largest_of(&expected) }
    }

    /// Whether the difference is above `1e-4 * of`, or no number.
    pub(crate) fn is_too_large(&self) -> bool {
        self.largest.is_nan() || self.largest > TOLERANCE * self.of
    }

    /// The one of which the greater part is wrong.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        let part = |d: Self| if d.largest > 0.0 { d.largest / d.of } else { d.largest };
        if part(other).is_nan() || part(other) > part(self) { other } else { self }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} of {:.2}", self.largest, self.of)
    }
}

fn largest_of(tensor: &Tensor) -> f64 {
    match tensor.numel() {
        0 => 0.0,
        _ => tensor.abs().max().double_value(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(found: &[f32], expected: &[f32]) -> Difference {
        Difference::between(&Tensor::from_slice(found), &Tensor::from_slice(expected))
    }

    #[test]
    fn what_is_too_large_depends_on_the_outputs() {
        assert!(!between(&[1e4, 0.5], &[1e4, 0.0]).is_too_large());
        assert!(between(&[1e-3, 5e-7], &[1e-3, 0.0]).is_too_large());
        assert!(!between(&[0.0], &[0.0]).is_too_large());
        assert!(between(&[0.1], &[0.0]).is_too_large());
        assert!(between(&[f32::NAN], &[f32::NAN]).is_too_large());
        assert!(between(&[1.0, 2.0], &[1.0]).is_too_large());
    }

    #[test]
    fn the_worse_of_two_stays() {
        let (small, large) = (between(&[1.0], &[1.1]), between(&[1000.0], &[1001.0]));
        assert_eq!(small.or_worse(large), small);
        assert_eq!(large.or_worse(small), small);
        assert!(small.or_worse(between(&[1.0, 2.0], &[1.0])).largest.is_nan());
        assert!(between(&[1.0, 2.0], &[1.0]).or_worse(small).largest.is_nan());
    }
}
