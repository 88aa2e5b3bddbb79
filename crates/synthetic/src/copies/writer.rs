//! The files of a copy, and what they hold.

use std::collections::BTreeMap;

use super::files::Folder;
use polyptych_data::{Histogram, Label};

/// What a synthetic copy holds, which reading it must give again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyContents {
    /// Number of images of each split.
    pub images: BTreeMap<String, usize>,
    /// Histogram and number of labels, by split and task.
    pub labels: BTreeMap<(String, String), (usize, Histogram)>,
}

/// A copy in the making.
pub(super) struct CopyWriter {
    pub(super) folder: Folder,
    pub(super) contents: CopyContents,
}

impl CopyWriter {
    pub(super) fn image(&mut self, split: &str) {
        *self.contents.images.entry(split.to_owned()).or_default() += 1;
    }

    /// Notes a label as it must be read again.
    pub(super) fn label(&mut self, split: &str, task: &str, label: &Label) {
        let key = (split.to_owned(), task.to_owned());
        let (count, histogram) = self.contents.labels.entry(key).or_default();
        *count += 1;
        histogram.add(label);
    }
}
