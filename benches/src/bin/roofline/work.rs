//! Floating-point operations and bytes of memory that an operation cannot do without.

use std::iter::Sum;
use std::ops::{Add, Mul};

/// Operations of a GELU, and of a gradient by it: its error function is a polynomial times an
/// exponential, which is another polynomial, and none of them is kept for the way back.
pub(crate) const GELU: [i64; 2] = [30, 35];

/// Of a call, or of several. An exponential or a root counts as one operation, a GELU as [`GELU`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Work {
    /// Floating-point operations.
    pub(crate) flops: f64,
    /// What is read, counted once, and what is written, counted once.
    pub(crate) bytes: f64,
}

impl Work {
    /// `flops` operations over `numbers` read or written, of `bytes` each.
    pub(crate) fn new(flops: i64, numbers: i64, bytes: i64) -> Self {
        Self { flops: flops as f64, bytes: (numbers * bytes) as f64 }
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

impl Mul<i64> for Work {
    type Output = Self;

    fn mul(self, times: i64) -> Self {
        Self { flops: self.flops * times as f64, bytes: self.bytes * times as f64 }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
