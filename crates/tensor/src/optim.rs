//! Optimisers whose whole state can be seen, saved and restored.

mod adamw;
mod clip;
mod group;
mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::clip_grad_norm;
pub use group::{Group, decay_groups};
pub use sgd::{Sgd, SgdConfig};

use crate::{Result, Tensors};

/// One step of learning, over parameters that were given at construction.
pub trait Optimiser {
    /// Updates every parameter that has a gradient; `lr` is the rate of this step.
    ///
    /// # Errors
    /// What LibTorch reports.
    fn step(&mut self, lr: f64) -> Result<()>;

    /// All numbers with memory, named `<parameter>.<state>`.
    fn state(&self) -> Tensors;

    /// Takes back what [`Optimiser::state`] gave.
    ///
    /// # Errors
    /// State of another set of parameters; nothing is changed then.
    fn restore(&mut self, state: &Tensors) -> Result<()>;
}
