//! What is one sample, and where does it come from?
//!
//! A [`Dataset`] yields [`Sample`]s: one photograph and the labels it has.
//! Nothing here knows LibTorch: arrays are `ndarray`, and the crate above turns a batch into tensors.

mod cached;
mod check;
mod coco;
mod dataset;
mod decode;
mod error;
mod facts;
mod folder;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod grey_png;
mod histogram;
mod infer;
mod key;
mod loader;
mod npy;
mod overlap;
mod pack;
mod packed;
mod record;
mod sample;
mod source;
mod subset;
mod task;
mod transforms;
mod union;
mod validate;

pub use cached::Cached;
pub use dataset::{Dataset, Origin};
pub use decode::{Orientation, decode_image, is_image_file, read_image, read_text};
pub use error::{Absent, Error, Result};
pub use facts::{Facts, SplitFacts, TaskFacts};
pub use folder::{
    FolderConfig, FolderDataset, Root, folder_of, manifest_schema, region_boundaries,
    shipped_manifest, split_sizes,
};
pub use histogram::Histogram;
pub use infer::{InferredManifest, infer_manifest};
pub use key::{Key, scramble};
pub use loader::{Batch, Epoch, Loader, LoaderConfig, OnBadSample, Sampling};
pub use overlap::require_disjoint;
pub use pack::{PackOptions, PackReport, PackedSplit, pack};
pub use packed::tls_config;
pub use record::DatasetRecord;
pub use sample::{IGNORE, Label, Sample};
pub use source::DataSource;
pub use subset::Subset;
pub use task::{TaskKind, TaskSpec};
pub use transforms::{AugmentConfig, ColorJitter, Drawn, Outside, Transform, resize_image};
pub use union::Union;
pub use validate::{LabelCount, Mark, Problem, SkippedPolygons, ValidationReport};

#[cfg(test)]
mod tests;
