//! What is one sample, and where does it come from?
//!
//! A [`Dataset`] yields [`Sample`]s: one photograph and the labels it has.
//! Nothing here knows LibTorch: arrays are `ndarray`, and the crate above turns a batch into tensors.

mod cached;
mod check;
mod dataset;
mod decode;
mod error;
mod facts;
mod fine_grained;
mod folder;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod guess;
mod histogram;
mod key;
mod loader;
mod made;
mod overlap;
mod sample;
mod scenes;
mod subset;
mod survey;
mod task;
mod transforms;
mod union;

pub use cached::Cached;
pub use dataset::{Dataset, Origin};
pub use decode::{Orientation, decode_image, is_image_file, read_image, read_text};
pub use error::{Absent, Error, Result};
pub use facts::{Facts, SplitFacts, TaskFacts};
pub use fine_grained::{FineGrained, FineGrainedConfig};
pub use folder::{FolderDataset, Root, shipped_manifest, split_sizes};
pub use guess::{Guess, guess};
pub use histogram::Histogram;
pub use key::Key;
pub use loader::{Batch, Epoch, Loader, LoaderConfig, OnBadSample, Sampling};
pub use made::{Made, make};
pub use overlap::require_disjoint;
pub use sample::{IGNORE, Label, Sample};
pub use scenes::{Scenes, ScenesConfig};
pub use subset::Subset;
pub use survey::{LabelCount, Mark, Problem, Survey};
pub use task::{TaskKind, TaskSpec};
pub use transforms::{AugmentConfig, ColorJitter, Drawn, Outside, Transform, resize_image};
pub use union::Union;

#[cfg(test)]
mod tests;
