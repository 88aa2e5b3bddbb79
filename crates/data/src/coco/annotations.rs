//! A COCO file as it is written.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::{optional, or_zero, slashes, whole};
use super::rle::Rle;
use super::segmentation::Segmentation;
use crate::Result;
use crate::decode::{Decoded, damaged, read};

/// The format in errors.
pub(super) const FORMAT: &str = "COCO JSON";

/// What is read of a file; other keys are passed over.
#[derive(Debug, Deserialize)]
pub(crate) struct CocoFile {
    pub(crate) images: Vec<Image>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) categories: Vec<Category>,
}

/// The images of a file alone.
#[derive(Debug, Deserialize)]
pub(crate) struct CocoImages {
    pub(crate) images: Vec<Image>,
}

/// One photograph.
#[derive(Debug, Deserialize)]
pub(crate) struct Image {
    #[serde(deserialize_with = "whole")]
    pub(crate) id: i64,
    #[serde(deserialize_with = "slashes")]
    pub(crate) file_name: String,
    #[serde(deserialize_with = "whole")]
    pub(crate) height: usize,
    #[serde(deserialize_with = "whole")]
    pub(crate) width: usize,
}

/// One instance, one region of stuff, or all segments of one image.
#[derive(Debug, Deserialize)]
pub(crate) struct Annotation {
    #[serde(deserialize_with = "whole")]
    pub(crate) image_id: i64,
    #[serde(default, deserialize_with = "optional")]
    pub(crate) category_id: Option<i64>,
    #[serde(default, deserialize_with = "or_zero")]
    pub(crate) iscrowd: u8,
    #[serde(default)]
    pub(crate) segmentation: Option<Segmentation>,
    /// Panoptic: the PNG of segments.
    #[serde(default)]
    pub(crate) file_name: Option<String>,
    /// Panoptic: what each number of the PNG is.
    #[serde(default)]
    pub(crate) segments_info: Option<Vec<Segment>>,
}

/// One segment of a panoptic PNG.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Segment {
    #[serde(deserialize_with = "whole")]
    pub(crate) id: u32,
    #[serde(deserialize_with = "whole")]
    pub(crate) category_id: i64,
    #[serde(default, deserialize_with = "or_zero")]
    pub(crate) iscrowd: u8,
}

/// What instances are.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Category {
    #[serde(deserialize_with = "whole")]
    pub(crate) id: i64,
    pub(crate) name: String,
}

impl CocoFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Decode`](crate::Error::Decode) with line and column.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?).map_err(|reason| damaged(path, FORMAT, reason))
    }

    /// Reads the text of a file.
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// The keys by which a file is known that cannot be read as a whole.
#[derive(Debug, Deserialize)]
struct Keys {
    #[serde(rename = "images")]
    _images: IgnoredAny,
    #[serde(rename = "annotations")]
    _annotations: IgnoredAny,
}

impl CocoFile {
    /// [`CocoFile::read`] of what may be another file; none where it is one.
    pub(crate) fn recognise(path: &Path) -> Option<Result<Self>> {
        let bytes = read(path).ok()?;
        match Self::parse(&bytes) {
            Ok(file) => Some(Ok(file)),
            Err(reason) => {
                serde_json::from_slice::<Keys>(&bytes).ok()?;
                Some(Err(damaged(path, FORMAT, reason)))
            }
        }
    }
}

impl CocoImages {
    /// Reads the images of a file.
    ///
    /// # Errors
    /// As [`CocoFile::read`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        serde_json::from_slice(&bytes).map_err(|error| damaged(path, FORMAT, error.to_string()))
    }
}

impl Annotation {
    /// Whether it has a mask beside its box.
    pub(crate) fn has_mask(&self) -> bool {
        self.segmentation.as_ref().is_some_and(Segmentation::has_mask)
    }

    /// Polygons that are skipped, as they have less than three corners.
    pub(crate) fn skipped(&self) -> usize {
        self.segmentation.as_ref().map_or(0, Segmentation::skipped)
    }

    /// The masks on an image of `size`, `[height, width]`, whose union is the annotation's.
    ///
    /// # Errors
    /// As [`Segmentation::masks`]; an annotation without the key has no mask.
    pub(super) fn masks(&self, size: [usize; 2]) -> Decoded<Vec<Rle>> {
        match &self.segmentation {
            Some(masks) => masks.masks(size),
            None => Segmentation::Polygons(Vec::new()).masks(size),
        }
    }
}
