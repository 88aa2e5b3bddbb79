//! What a manifest says of its data set before a split is opened.

use std::path::Path;

use super::dataset::FolderDataset;
use super::entry::TaskEntry;
use super::manifest::Manifest;
use super::root::Root;
use crate::packed::is_address;
use crate::{Error, Result, TaskSpec};

impl FolderDataset {
    /// Names of the splits that `manifest` describes.
    ///
    /// # Errors
    /// As [`FolderDataset::open`] for the manifest itself.
    pub fn splits(manifest: &Path) -> Result<Vec<String>> {
        Ok(Manifest::read(manifest)?.splits.into_keys().collect())
    }

    /// The tasks as `manifest` alone describes them, without a file of the data set.
    ///
    /// # Errors
    /// As [`FolderDataset::open`] for the manifest itself; [`Error::Config`] for a task whose
    /// classes are in the data set alone.
    pub fn described(manifest: &Path) -> Result<Vec<TaskSpec>> {
        let origin = manifest.display().to_string();
        let one = |entry: &TaskEntry| match entry.names_classes() {
            true => Ok(entry.spec(entry.classes.names().to_vec())),
            false => Err(Error::Config {
                origin: origin.clone(),
                key: format!("tasks.{}.classes", entry.name),
                expected: "the names of the classes, or the data set itself".into(),
                found: "neither".into(),
            }),
        };
        Manifest::read(manifest)?.tasks.iter().map(one).collect()
    }

    /// Whether `manifest` names archives that bring its data set.
    pub fn has_archives(manifest: &Path) -> bool {
        Manifest::read(manifest).is_ok_and(|manifest| manifest.archive.is_some())
    }

    /// Whether the images of `manifest` are at addresses, so that no folder need be there.
    pub(super) fn is_remote(manifest: &Path) -> bool {
        Manifest::read(manifest).is_ok_and(|manifest| is_address(&manifest.layout.images))
    }

    /// Whether `manifest` lets the splits `one` and `other` share images.
    ///
    /// # Errors
    /// As [`FolderDataset::open`] for the manifest itself.
    pub(crate) fn may_overlap(manifest: &Path, one: &str, other: &str) -> Result<bool> {
        let manifest = Manifest::read(manifest)?;
        let names = |from: &str, to: &str| {
            manifest.splits.get(from).is_some_and(|split| split.overlaps.iter().any(|n| n == to))
        };
        Ok(names(one, other) || names(other, one))
    }
}

/// Number of images of each split that `manifest` describes and `root` holds, or why it cannot be
/// opened; labels are not looked for.
///
/// # Errors
/// As [`FolderDataset::open`] for the manifest itself.
pub fn split_sizes(manifest: &Path, root: &Root) -> Result<Vec<(String, Result<usize>)>> {
    let size = |split: String| {
        let opened = FolderDataset::open_for(manifest, root, &split, |_| false);
        (split, opened.map(|dataset| dataset.items.len()))
    };
    Ok(FolderDataset::splits(manifest)?.into_iter().map(size).collect())
}
