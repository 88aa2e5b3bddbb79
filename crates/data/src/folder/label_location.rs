//! Where labels may be, what their numbers mean there, and which of their pixels count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::{FileFormat, Format};

/// One place of a task's labels: archives of one data set differ in folders and formats.
///
/// Keys that say what stored numbers mean hold for this place alone. One that is left out is the
/// task's; beside `safetensors:NAME` and `safetensors_argmax:NAME`, which hold what a model
/// predicted, it is left out there too: metres, classes, probabilities and normals as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelLocation {
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    /// How the file stores them.
    pub(crate) format: Format,
    /// Stored values that mean "no label" in this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ignore: Option<Vec<i64>>,
    /// Colours that mean "no label" in this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ignore_colors: Option<Vec<[u8; 3]>>,
    /// Pairs of stored value and class in this place; `[]` for values that are classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) map: Option<Vec<[i64; 2]>>,
    /// Class of stored values and colours of this place that nothing else lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) map_others: Option<u8>,
    /// Bits by which stored numbers of this place are rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotate_right: Option<u32>,
    /// Metres per stored unit of this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scale: Option<f64>,
    /// Metres at stored 0 of this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<f64>,
    /// Metres times stored units of disparity of this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disparity: Option<f64>,
    /// Whether stored values of this place number regions whose outlines are the boundaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "outline")]
    pub(crate) region_boundaries: Option<bool>,
    /// Stored values of this place above this are salient or boundaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<f64>,
    /// Factors that turn stored normals of this place to x right, y up, z towards the camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signs: Option<[f32; 3]>,
}

impl LabelLocation {
    /// Whether the task's keys hold here too: not for what a model predicted.
    pub(crate) fn takes_keys(&self) -> bool {
        use FileFormat::{Safetensors, SafetensorsArgmax};
        !matches!(self.format, Format::File(Safetensors(_) | SafetensorsArgmax(_)))
    }
}

/// A map whose values say which pixels keep their label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mask {
    /// Pattern of the maps' paths.
    pub(crate) label: String,
    /// How the file stores them.
    pub(crate) format: Format,
    /// Values of pixels with a label.
    pub(crate) values: Vec<i64>,
}
