//! What Hugging Face's `datasets` writes beside the columns of a table.

use std::collections::BTreeMap;

use serde_json::Value;

/// Names of the classes of the columns that are numbers of classes, from the text of the key
/// `huggingface`.
pub(super) fn classes(text: &str) -> BTreeMap<String, Vec<String>> {
    let about: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(features) = about["info"]["features"].as_object() else { return BTreeMap::new() };
    let names = |feature: &Value| serde_json::from_value(feature["names"].clone()).ok();
    features.iter().filter_map(|(name, feature)| Some((name.clone(), names(feature)?))).collect()
}
