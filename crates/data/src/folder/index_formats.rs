//! The list of formats of one file with the labels of all images of a split.

use super::coco;
use super::index_file::IndexFile;

/// All such formats.
pub(crate) const INDEX_FILES: [&IndexFile; 1] = [&coco::FORMAT];

/// The format of this name.
pub(crate) fn index_file(name: &str) -> Option<&'static IndexFile> {
    INDEX_FILES.iter().copied().find(|format| format.name == name)
}
