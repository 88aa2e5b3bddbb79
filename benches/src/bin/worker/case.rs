//! What every case can do.

use anyhow::Result;
use polyptych_tensor::Tensors;

/// A program that is timed.
pub(crate) trait Case {
    /// One round.
    fn run(&mut self) -> Result<()>;

    /// What a round makes of numbers without chance, in float32.
    fn check(&mut self) -> Result<Tensors>;

    /// Images of a round, or what else it does many of.
    fn items(&self) -> i64;
}
