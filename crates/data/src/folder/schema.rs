//! What a manifest may say.

use schemars::schema_for;
use serde_json::Value;

use super::manifest::Manifest;

/// JSON Schema of a manifest, for editors that complete and check TOML.
pub fn manifest_schema() -> Value {
    schema_for!(Manifest).into()
}
