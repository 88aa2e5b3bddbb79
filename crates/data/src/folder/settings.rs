//! What a manifest says of samples, for the record of a run.

use serde_json::{Map, Value, json};

use super::manifest::Manifest;
use crate::TaskSpec;

/// The keys of `manifest` that say what samples hold beside the images themselves, for the tasks
/// of `specs`; defaults are in place, so that a key that says what holds anyway changes nothing.
pub(super) fn settings(manifest: &Manifest, specs: &[TaskSpec], wanted: &[bool]) -> Value {
    let layout = json!({
        "format": manifest.layout.format,
        "apply_exif_orientation": manifest.layout.apply_exif_orientation.unwrap_or(true),
    });
    let mut tasks = Map::new();
    for ((entry, spec), wanted) in manifest.tasks.iter().zip(specs).zip(wanted) {
        if !wanted {
            continue;
        }
        let mut keys = serde_json::to_value(entry).unwrap_or(Value::Null);
        if let Value::Object(keys) = &mut keys {
            keys.insert("classes".to_owned(), json!(spec.classes));
            keys.remove("name");
        }
        tasks.insert(spec.name.clone(), keys);
    }
    json!({ "layout": layout, "tasks": tasks })
}
