//! What the key `classes` of a manifest holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the key `classes` of a manifest holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected names of classes or the path of a file of them")]
pub(crate) enum ClassList {
    /// The names; none where the key is absent.
    Names(Vec<String>),
    /// A file below the data set's folder with lines `number name`.
    File(String),
}

impl Default for ClassList {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl ClassList {
    /// The names that the manifest itself gives.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Names(names) => names,
            Self::File(_) => &[],
        }
    }
}
