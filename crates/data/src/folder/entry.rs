//! One task of a manifest: what it predicts and how its label files are read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::categories::Categories;
use super::class_list::ClassList;
use super::format::Format;
use super::label_location::{LabelLocation, Mask};
use crate::{TaskKind, TaskSpec};

/// A table of `[[tasks]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskEntry {
    /// Name of the task, which recipes use.
    pub(crate) name: String,
    /// What the task predicts.
    pub(crate) kind: TaskKind,
    /// Names of the classes in the order of their indices, or a file below the data set's folder
    /// with lines `number name`; needed by kinds with classes alone.
    #[serde(default)]
    pub(crate) classes: ClassList,
    /// One RGB colour per class, for colour labels and for pictures.
    #[serde(default)]
    pub(crate) palette: Vec<[u8; 3]>,
    /// Pairs of class indices that swap in a mirror image, such as left arm and right arm.
    #[serde(default)]
    pub(crate) flip_pairs: Vec<[u8; 2]>,
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    /// How a label file stores its label: `index_png` (grey value or palette index), `palette_png`
    /// (the same, or colours of the palette), `rgb_png` (colours of the palette), `png16` (grey of
    /// up to 16 bits), `normals_png` (x, y and z from -1 at 0 to 1 at the largest value), `npy`,
    /// `mat:VARIABLE` (MATLAB v5 and v7.3), `hdf5:NAME` (an array of HDF5), `mat_boundaries` (BSDS500), `mat_parts:CLASS` (PASCAL-Part),
    /// `safetensors:NAME` (maps of a tensor, as `predict --raw` of another model writes them),
    /// `safetensors_argmax:NAME` (the class of the largest of several maps), `text` (what is said of
    /// the image), `names_txt` (names of classes, one a line); or, for one class per image, what the pattern
    /// stands for: `path` (the class's name), `index` (its number), `idx` (MNIST's file).
    pub(crate) format: Format,
    /// Where else the label may be, looked at in this order. Each place may state `ignore`,
    /// `ignore_colors`, `map`, `map_others`, `rotate_right`, `scale`, `offset`, `disparity`,
    /// `outline`, `threshold` and `signs` of its own; those that it leaves out are the task's, but
    /// beside `safetensors:NAME` and `safetensors_argmax:NAME` what a model predicted is taken as it
    /// is.
    #[serde(default)]
    pub(crate) or: Vec<LabelLocation>,
    /// Another file that says which pixels have a label.
    #[serde(default)]
    pub(crate) mask: Option<Mask>,
    /// Stored values that mean "no label".
    #[serde(default)]
    pub(crate) ignore: Vec<i64>,
    /// Colours that mean "no label".
    #[serde(default)]
    pub(crate) ignore_colors: Vec<[u8; 3]>,
    /// Pairs of stored value and class.
    #[serde(default)]
    pub(crate) map: Vec<[i64; 2]>,
    /// Class of stored values and colours that nothing else lists; 255 for no label.
    #[serde(default)]
    pub(crate) map_others: Option<u8>,
    /// Bits by which stored numbers of 16 bits are rotated to the right before `scale` applies.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) rotate_right: u32,
    /// Metres per stored unit.
    #[serde(default = "one")]
    pub(crate) scale: f64,
    /// Metres at stored 0; with an offset, 0 is a distance like any other.
    #[serde(default)]
    pub(crate) offset: f64,
    /// Metres times stored units of disparity, once `scale` and `offset` are applied: the depth is
    /// this divided by them.
    #[serde(default)]
    pub(crate) disparity: Option<f64>,
    /// Classes of named parts.
    #[serde(default)]
    pub(crate) parts: BTreeMap<String, u8>,
    /// Which categories of a COCO file count, and as which classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) categories: Option<Categories>,
    /// Whether stored values number regions whose outlines are the boundaries.
    #[serde(default)]
    #[serde(rename = "outline")]
    pub(crate) region_boundaries: bool,
    /// Whether a label of another size than its image is resized to it instead of refused.
    #[serde(default)]
    pub(crate) resize: bool,
    /// Stored values above this are salient or boundaries.
    #[serde(default = "half")]
    pub(crate) threshold: f64,
    /// Factors that turn stored normals to x right, y up, z towards the camera.
    #[serde(default = "ones")]
    pub(crate) signs: [f32; 3],
    /// Whether a label without any labelled pixel counts as absent instead of as an error.
    #[serde(default)]
    pub(crate) allow_void: bool,
}

impl TaskEntry {
    /// What the rest of the workspace knows of the task, once its classes are known.
    pub(crate) fn spec(&self, classes: Vec<String>) -> TaskSpec {
        TaskSpec {
            name: self.name.clone(),
            kind: self.kind,
            classes,
            palette: self.palette.clone(),
            flip_pairs: self.flip_pairs.clone(),
        }
    }

    /// The task as its labels in every place are read, the first one first.
    pub(crate) fn places(&self) -> impl Iterator<Item = Self> + '_ {
        std::iter::once(self.clone()).chain(self.or.iter().map(|place| self.at(place)))
    }

    /// The task as its labels in `place` are read.
    pub(super) fn at(&self, place: &LabelLocation) -> Self {
        let base = if place.takes_keys() { self.clone() } else { self.as_predicted() };
        Self {
            label: place.label.clone(),
            format: place.format.clone(),
            or: Vec::new(),
            ignore: place.ignore.clone().unwrap_or(base.ignore),
            ignore_colors: place.ignore_colors.clone().unwrap_or(base.ignore_colors),
            map: place.map.clone().unwrap_or(base.map),
            map_others: place.map_others.or(base.map_others),
            rotate_right: place.rotate_right.unwrap_or(base.rotate_right),
            scale: place.scale.unwrap_or(base.scale),
            offset: place.offset.unwrap_or(base.offset),
            disparity: place.disparity.or(base.disparity),
            region_boundaries: place.region_boundaries.unwrap_or(base.region_boundaries),
            threshold: place.threshold.unwrap_or(base.threshold),
            signs: place.signs.unwrap_or(base.signs),
            ..base
        }
    }

    /// The task where stored numbers are what they mean: metres, classes, probabilities, normals.
    fn as_predicted(&self) -> Self {
        Self {
            ignore: Vec::new(),
            ignore_colors: Vec::new(),
            map: Vec::new(),
            map_others: None,
            rotate_right: 0,
            scale: one(),
            offset: 0.0,
            disparity: None,
            region_boundaries: false,
            threshold: half(),
            signs: ones(),
            ..self.clone()
        }
    }

    /// Whether the manifest itself names the task's classes, or it has none.
    pub(crate) fn names_classes(&self) -> bool {
        !self.has_classes() || !self.classes.names().is_empty()
    }

    pub(super) fn has_classes(&self) -> bool {
        use TaskKind::{Classification, HumanParts, Semseg, Tags};
        matches!(self.kind, Semseg | HumanParts | Classification | Tags)
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}
