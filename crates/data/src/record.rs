//! What a data set was when a run began with it, so that a resumed run can tell another one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a data set looks like from outside, and how its manifest reads labels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetRecord {
    /// Name of the data set.
    pub name: String,
    /// The split; empty where the samples are rendered rather than read.
    pub split: String,
    /// Number of samples.
    pub samples: usize,
    /// How many of them are used, at even distances; none where all are.
    pub limit: Option<usize>,
    /// Bytes of all image files.
    pub bytes: u64,
    /// Digest of the names and lengths of the image files; empty where there are none.
    pub images: String,
    /// Digest of the classes of single images, for tasks where names and lists tell them.
    pub classes: BTreeMap<String, String>,
    /// Keys of the manifest that say what samples hold, with defaults in place.
    pub manifest: Value,
}

impl DatasetRecord {
    /// The same as one text, as runs recorded it before they recorded the manifest.
    pub fn fingerprint(&self) -> String {
        let limit = self.limit.map(|limit| format!("{limit} of ")).unwrap_or_default();
        let all = format!("{limit}{} samples of {}", self.samples, self.name);
        if self.images.is_empty() { all } else { format!("{all} ({})", self.images) }
    }
}
