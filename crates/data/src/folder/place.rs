//! Where labels may be, and which of their pixels count.

use serde::Deserialize;

use super::entry::TaskEntry;
use super::format::{FileFormat, Format};
use crate::TaskKind;

/// One place of a task's labels: archives of one data set differ in folders and formats.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    pub(crate) format: Format,
}

/// A map whose values say which pixels keep their label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mask {
    /// Pattern of the maps' paths.
    pub(crate) label: String,
    pub(crate) format: Format,
    /// Values of pixels with a label.
    pub(crate) values: Vec<i64>,
}

/// Key, what was expected there and what was found.
type Wrong = (&'static str, String, String);

impl TaskEntry {
    /// Every place of the labels, the first one first.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let first = Place { label: self.label.clone(), format: self.format.clone() };
        std::iter::once(first).chain(self.or.iter().cloned())
    }

    /// Checks formats and the keys that go with some of them alone.
    pub(crate) fn validate_places(&self) -> Result<(), Wrong> {
        let kind = self.kind;
        if let Some(place) = self.places().find(|place| !place.format.suits(kind)) {
            return Err(("format", format!("one for kind {kind:?}"), place.format.word()));
        }
        let single = |format: &Format| !matches!(format, Format::File(_));
        match self.places().find(|place| single(&place.format)) {
            Some(place) if !self.or.is_empty() => {
                return Err(("or", "formats of files".to_owned(), place.format.word()));
            }
            _ => {}
        }
        self.validate_mask()?;
        self.validate_parts()?;
        let only = |key, set: bool, wanted: TaskKind| match set && kind != wanted {
            true => Err((key, format!("kind {wanted:?} beside it"), format!("{kind:?}"))),
            false => Ok(()),
        };
        only("outline", self.outline, TaskKind::Edge)?;
        only("disparity", self.disparity.is_some(), TaskKind::Depth)?;
        match self.disparity.filter(|&metres| !(metres.is_finite() && metres > 0.0)) {
            Some(wrong) => {
                Err(("disparity", "a finite number above 0".to_owned(), wrong.to_string()))
            }
            None => Ok(()),
        }
    }

    fn validate_mask(&self) -> Result<(), Wrong> {
        let grid = |format: &Format| {
            use FileFormat::{IndexPng, Mat, Npy, PalettePng, Png16};
            matches!(format, Format::File(IndexPng | PalettePng | Png16 | Npy | Mat(_)))
        };
        match &self.mask {
            Some(mask) if !grid(&mask.format) => {
                let expected = "a format with one number per pixel".to_owned();
                Err(("mask.format", expected, mask.format.word()))
            }
            _ => Ok(()),
        }
    }

    fn validate_parts(&self) -> Result<(), Wrong> {
        let stored = |place: Place| matches!(place.format, Format::File(FileFormat::MatParts(_)));
        let count = self.classes.names().len();
        if self.places().any(stored) == self.parts.is_empty() {
            let expected = "classes of named parts, for mat_parts and only for it".to_owned();
            return Err(("parts", expected, format!("{} parts", self.parts.len())));
        }
        match self.parts.iter().find(|(_, class)| usize::from(**class) >= count) {
            Some((part, class)) => {
                Err(("parts", format!("classes below {count}"), format!("{part} = {class}")))
            }
            None => Ok(()),
        }
    }
}
