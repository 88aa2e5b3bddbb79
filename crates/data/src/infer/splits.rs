//! How the images of a folder are parted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::lists;
use super::series::Series;

/// Splits of a folder that has none.
pub(super) const SHARES: [(&str, &str); 2] = [("train", "[0.0, 0.9]"), ("val", "[0.9, 1.0]")];

/// The split of a tenth of the images of a folder with one split.
pub(super) const HELD_OUT: &str = "held_out";

/// How images are parted.
#[derive(Debug)]
pub(crate) enum Splits {
    /// By folders of these names.
    Folders(BTreeSet<String>),
    /// By lists of ids.
    Lists(BTreeMap<String, String>),
    /// By shares of all images.
    Shares,
    /// By shares of the images of the one folder that is called like a split.
    HeldOut(String),
}

impl Splits {
    pub(super) fn of(
        folder: &Path,
        images: &Series,
        labels: &[&Series],
        notes: &mut Vec<String>,
    ) -> Self {
        let folders = images.splits();
        let lists = lists::find(folder, images, labels);
        notes.extend(lists.notes);
        match (folders.is_empty(), lists.splits.is_empty()) {
            (false, none) => {
                if !none {
                    let lists = lists.splits.into_values().collect::<Vec<_>>().join(", ");
                    notes.push(format!("{lists}: lists; the folders of the images are the splits"));
                }
                Self::Folders(folders)
            }
            (true, false) => Self::Lists(lists.splits),
            (true, true) => Self::Shares,
        }
    }

    /// Two splits where there is one folder.
    pub(super) fn held_out(&self) -> Option<Self> {
        match self {
            Self::Folders(names) if names.len() == 1 => names.first().cloned().map(Self::HeldOut),
            _ => None,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Folders(names) => names.iter().cloned().collect(),
            Self::Lists(lists) => lists.keys().cloned().collect(),
            Self::Shares => SHARES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Self::HeldOut(folder) => vec![folder.clone(), HELD_OUT.to_owned()],
        }
    }
}
