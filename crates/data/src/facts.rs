//! What a data set holds: numbers, sizes and ranges, and which of the known copies it is.

mod split;
mod variant;

use std::path::Path;

pub use self::split::{SplitFacts, TaskFacts};
use crate::folder::Manifest;
use crate::{Error, FolderDataset, Result, Root};

/// What reading a whole data set tells.
#[derive(Debug)]
pub struct Facts {
    /// The known copy that this is; `None` where the manifest knows copies and none fits.
    pub variant: Option<String>,
    /// Why each known copy is not this one, where none is.
    pub misfits: Vec<String>,
    /// Split by split.
    pub splits: Vec<SplitFacts>,
}

impl Facts {
    /// Reads what `manifest` describes and `root` holds, on all cores; tasks without any file are
    /// left out, so that part of an archive can be looked at.
    ///
    /// `progress` hears from many threads of the split in work, its samples read and their number.
    ///
    /// # Errors
    /// A manifest, list or folder that cannot be read; single samples are counted instead.
    pub fn of_folder(
        manifest: &Path,
        root: &Root,
        progress: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Self> {
        let description = Manifest::read(manifest)?;
        let (mut splits, mut datasets) = (Vec::new(), Vec::new());
        for split in description.splits.keys() {
            let dataset = open(manifest, root, split, &description)?;
            splits.push(SplitFacts::of(&dataset, split, progress));
            datasets.push(dataset);
        }
        let judged = variant::judge(&description.variants, root, &datasets, &splits);
        let (variant, misfits) = match judged {
            Ok(variant) => (variant, Vec::new()),
            Err(misfits) => (None, misfits),
        };
        Ok(Self { variant, misfits, splits })
    }
}

/// The split with all tasks that have a file.
fn open(
    manifest: &Path,
    root: &Root,
    split: &str,
    description: &Manifest,
) -> Result<FolderDataset> {
    let mut there = Vec::new();
    for task in &description.tasks {
        match FolderDataset::open_for(manifest, root, split, |name| name == task.name) {
            Ok(_) => there.push(task.name.as_str()),
            Err(Error::NoLabels { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    FolderDataset::open_for(manifest, root, split, |name| there.contains(&name))
}
