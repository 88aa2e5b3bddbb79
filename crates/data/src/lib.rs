//! What is one sample, and where does it come from?
//!
//! A [`Dataset`] yields [`Sample`]s: one photograph and the labels it has.
//! Nothing here knows LibTorch: arrays are `ndarray`, and the crate above turns a batch into tensors.

mod check;
mod dataset;
mod error;
mod key;
mod loader;
mod sample;
mod scenes;
mod task;
mod transforms;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use key::Key;
pub use loader::{Batch, Epoch, Loader, LoaderConfig};
pub use sample::{IGNORE, Label, Sample};
pub use scenes::{Scenes, ScenesConfig};
pub use task::{TaskKind, TaskSpec};
pub use transforms::{AugmentConfig, ColorJitter, Transform, resize_image};
