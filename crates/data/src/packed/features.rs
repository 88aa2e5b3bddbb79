//! What Hugging Face's `datasets` writes beside the columns of a table.

use std::collections::BTreeMap;

use serde_json::Value;

/// Names of the classes of the columns that are numbers of classes, from the text of the key
/// `huggingface`.
pub(super) fn classes(text: &str) -> BTreeMap<String, Vec<String>> {
    let about: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(features) = about["info"]["features"].as_object() else { return BTreeMap::new() };
    let names = |feature: &Value| serde_json::from_value(of_item(feature)["names"].clone()).ok();
    features.iter().filter_map(|(name, feature)| Some((name.clone(), names(feature)?))).collect()
}

/// What a list is of, or else the feature itself: `{"feature": {"names": ..}, "_type": "List"}`, and
/// lists of one field `[{"names": ..}]`.
fn of_item(feature: &Value) -> &Value {
    match (feature.get("feature"), feature.as_array().map(Vec::as_slice)) {
        (Some(item), _) | (_, Some([item])) => of_item(item),
        _ => feature,
    }
}

#[cfg(test)]
mod tests {
    use super::classes;

    #[test]
    fn classes_of_lists_are_known_too() {
        let text = r#"{"info": {"features": {
            "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
            "tags": {"feature": {"names": ["x", "y"], "_type": "ClassLabel"}, "_type": "List"},
            "old": [{"names": ["a", "b"], "_type": "ClassLabel"}],
            "text": {"dtype": "string", "_type": "Value"}}}}"#;
        let found = classes(text);
        assert_eq!(found.len(), 3);
        assert_eq!(
            (&found["tags"][..], &found["old"][1]),
            (&["x".to_owned(), "y".into()][..], &"b".to_owned())
        );
    }
}
