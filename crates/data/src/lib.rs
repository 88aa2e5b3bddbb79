//! What is one sample, and where does it come from?
//!
//! A [`Dataset`] yields [`Sample`]s: one photograph and the labels it has.
//! Nothing here knows LibTorch: arrays are `ndarray`, and the crate above turns a batch into tensors.

mod dataset;
mod error;
mod sample;
mod task;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use sample::{Label, Sample};
pub use task::{TaskKind, TaskSpec};
