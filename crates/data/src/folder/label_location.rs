//! Where labels may be, and which of their pixels count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::Format;

/// One place of a task's labels: archives of one data set differ in folders and formats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelLocation {
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    /// How the file stores them.
    pub(crate) format: Format,
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
