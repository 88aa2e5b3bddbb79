//! How many images a file of a data set holds.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::packed::{self, Packed};

/// How many images a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Store {
    /// One.
    #[default]
    Files,
    /// All of a split, in the format of MNIST.
    Idx,
    /// Many, with their labels.
    Packed(&'static Packed),
}

/// Names of all stores.
pub(crate) const STORES: [&str; 2 + packed::FORMATS.len()] = {
    let mut names = ["files"; 2 + packed::FORMATS.len()];
    names[1] = "idx";
    let mut place = 0;
    while place < packed::FORMATS.len() {
        names[2 + place] = packed::FORMATS[place].name;
        place += 1;
    }
    names
};

impl Store {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Idx => "idx",
            Self::Packed(format) => format.name,
        }
    }

    pub(super) fn is_packed(self) -> bool {
        matches!(self, Self::Packed(_))
    }
}

impl From<Store> for String {
    fn from(store: Store) -> Self {
        store.name().to_owned()
    }
}

impl JsonSchema for Store {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": STORES })
    }
}

impl TryFrom<String> for Store {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        match name.as_str() {
            "files" => Ok(Self::Files),
            "idx" => Ok(Self::Idx),
            other => packed::format_named(other)
                .map(Self::Packed)
                .ok_or_else(|| format!("one of {}", STORES.join(", "))),
        }
    }
}
