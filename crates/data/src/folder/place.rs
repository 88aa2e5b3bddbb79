//! Where labels may be, and which of their pixels count.

use serde::{Deserialize, Serialize};

use super::entry::TaskEntry;
use super::format::{FileFormat, Format};
use super::keys::Wrong;

/// One place of a task's labels: archives of one data set differ in folders and formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    pub(crate) format: Format,
}

/// A map whose values say which pixels keep their label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mask {
    /// Pattern of the maps' paths.
    pub(crate) label: String,
    pub(crate) format: Format,
    /// Values of pixels with a label.
    pub(crate) values: Vec<i64>,
}

impl TaskEntry {
    /// Every place of the labels, the first one first.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let first = Place { label: self.label.clone(), format: self.format.clone() };
        std::iter::once(first).chain(self.or.iter().cloned())
    }

    /// What is wrong with formats and the keys that go with some of them alone.
    pub(crate) fn wrong_places(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        if let Some(place) = self.places().find(|place| !place.format.suits(self.kind)) {
            let expected = format!("one for kind {}", self.kind.name());
            found.push(Wrong::new("format", expected, place.format.name()));
        }
        let single = |format: &Format| !matches!(format, Format::File(_));
        let single = self.places().find(|place| single(&place.format));
        if let Some(place) = single.filter(|_| !self.or.is_empty()) {
            found.push(Wrong::new("or", "formats of files", place.format.name()));
        }
        found.extend(self.wrong_mask());
        found.extend(self.wrong_parts());
        let above_zero = |metres: f64| metres.is_finite() && metres > 0.0;
        if let Some(wrong) = self.disparity.filter(|&metres| !above_zero(metres)) {
            found.push(Wrong::new("disparity", "a finite number above 0", wrong));
        }
        found
    }

    fn wrong_mask(&self) -> Option<Wrong> {
        let grid = |format: &Format| {
            use FileFormat::{IndexPng, Mat, Npy, PalettePng, Png16};
            matches!(format, Format::File(IndexPng | PalettePng | Png16 | Npy | Mat(_)))
        };
        let mask = self.mask.as_ref().filter(|mask| !grid(&mask.format))?;
        let expected = "a format with one number per pixel";
        Some(Wrong::new("mask.format", expected, mask.format.name()))
    }

    fn wrong_parts(&self) -> Option<Wrong> {
        let stored = |place: Place| matches!(place.format, Format::File(FileFormat::MatParts(_)));
        let count = self.classes.names().len();
        if self.places().any(stored) && self.parts.is_empty() {
            return Some(Wrong::new("parts", "classes of named parts, for mat_parts", "none"));
        }
        let (part, class) = self.parts.iter().find(|(_, class)| usize::from(**class) >= count)?;
        let expected = format!("classes below {count}");
        Some(Wrong::new("parts", expected, format!("{part} = {class}")))
    }
}
