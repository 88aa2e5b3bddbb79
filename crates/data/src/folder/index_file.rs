//! Formats of one file with the labels of all images of a split.

use std::fmt::Debug;
use std::path::PathBuf;

use super::categories::Categories;
use crate::{Label, Result, TaskKind};

/// A format of one file.
pub(crate) struct IndexFile {
    /// Name in manifests.
    pub(crate) name: &'static str,
    /// Kinds of tasks that it has labels of.
    pub(crate) kinds: &'static [TaskKind],
    /// Keys that it reads, of those that say how labels are read.
    pub(crate) keys: &'static [&'static str],
    /// Opens the file; one that has none of the images is an error.
    pub(crate) open: fn(IndexRequest) -> Result<Box<dyn SplitLabels>>,
}

/// What a file is opened for.
pub(crate) struct IndexRequest<'a> {
    /// The manifest, for errors.
    pub(crate) origin: &'a str,
    /// Name of the task.
    pub(crate) task: &'a str,
    pub(crate) kind: TaskKind,
    /// Names of its classes.
    pub(crate) classes: &'a [String],
    pub(crate) categories: Option<&'a Categories>,
    pub(crate) map_others: Option<u8>,
    pub(crate) path: PathBuf,
    /// The image files of the split below the data set's folder, in the order of samples.
    pub(crate) images: Vec<String>,
}

/// The labels of one task over the images of a split.
pub(crate) trait SplitLabels: Debug + Send + Sync {
    /// The file, and what it calls image `index`, for errors.
    fn place(&self, index: usize) -> String;

    /// The label of image `index` as the file has it.
    ///
    /// # Errors
    /// What cannot be decoded.
    fn label(&self, index: usize) -> Result<Option<Label>>;

    /// Polygons of image `index` that are skipped, as they have less than three corners.
    fn skipped(&self, _index: usize) -> usize {
        0
    }
}

impl Debug for IndexFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for IndexFile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for IndexFile {}
