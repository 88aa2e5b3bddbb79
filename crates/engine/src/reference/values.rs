//! What may stand at a key, in words.

use serde::Serialize;
use serde_json::Value;

use super::links::plain;

/// A word that may stand at a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The word.
    pub value: String,
    /// What it means.
    pub about: String,
}

/// What `schema` refers to, or itself.
pub(super) fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str);
    let found = name.and_then(|name| root.pointer(name.strip_prefix('#')?));
    found.map_or(schema, |found| resolved(root, found))
}

/// The schemas of which one must hold.
pub(super) fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|word| schema.get(word));
    lists.filter_map(Value::as_array).flatten()
}

/// Whether `schema` is of a part, which a registry lists.
pub(super) fn is_part(schema: &Value) -> bool {
    schema.get("title").is_some() && schema.get("oneOf").is_some()
}

/// What may stand there: `integer, 0 or more`, `list of numbers`, `adapter method`.
pub(super) fn described(root: &Value, schema: &Value) -> String {
    let schema = resolved(root, schema);
    if is_part(schema) {
        return schema["title"].as_str().unwrap_or_default().to_owned();
    }
    if schema.get("const").is_some_and(Value::is_string) || schema.get("enum").is_some() {
        return "string".to_owned();
    }
    match &schema["type"] {
        Value::String(word) => of_type(word, root, schema),
        Value::Array(words) => words
            .iter()
            .filter_map(Value::as_str)
            .filter(|word| *word != "null")
            .map(|word| of_type(word, root, schema))
            .collect::<Vec<_>>()
            .join(" or "),
        _ => of_branches(root, schema),
    }
}

fn of_type(word: &str, root: &Value, schema: &Value) -> String {
    match word {
        "object" => match schema.get("additionalProperties") {
            Some(value @ Value::Object(_)) => {
                format!("table of {}", several(&described(root, value)))
            }
            _ => "table".to_owned(),
        },
        "array" => {
            let item = schema.get("items").map(|item| described(root, item));
            let number = schema.get("maxItems").map(|n| format!("{n} ")).unwrap_or_default();
            format!("list of {number}{}", several(&item.unwrap_or_else(|| "value".into())))
        }
        "integer" if schema["minimum"] == 0 => "integer, 0 or more".to_owned(),
        word => word.to_owned(),
    }
}

fn of_branches(root: &Value, schema: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    for branch in branches(schema) {
        let word = described(root, branch);
        if word != "null" && !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
}

/// `integer, 0 or more` as `integers, 0 or more`, `data source` as `data sources`.
fn several(word: &str) -> String {
    let end = [",", " of ", " or "].iter().filter_map(|mark| word.find(mark)).min();
    let (noun, rest) = word.split_at(end.unwrap_or(word.len()));
    format!("{noun}s{rest}")
}

/// The words that may stand there; `owner` is the table around them.
pub(super) fn choices(root: &Value, schema: &Value, owner: &Value) -> Vec<Choice> {
    let schema = resolved(root, schema);
    if is_part(schema) {
        return Vec::new();
    }
    let about = |of: &Value| plain(of["description"].as_str().unwrap_or_default());
    if let Some(tag) = schema.get("const").and_then(Value::as_str) {
        return vec![Choice { value: tag.to_owned(), about: about(owner) }];
    }
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<Choice> = listed
        .filter_map(Value::as_str)
        .map(|value| Choice { value: value.to_owned(), about: String::new() })
        .collect();
    for branch in branches(schema) {
        found.extend(choices(root, branch, branch));
    }
    found
}

/// What an absent key means, in TOML.
pub(super) fn default(root: &Value, schema: &Value, required: bool) -> Option<String> {
    if required {
        return None;
    }
    match schema.get("default") {
        Some(value) => toml(value),
        // What is left out where it is false.
        None if resolved(root, schema)["type"] == "boolean" => Some("false".to_owned()),
        None => None,
    }
}

fn toml(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Array(values) => {
            let values: Vec<String> = values.iter().filter_map(toml).collect();
            Some(format!("[{}]", values.join(", ")))
        }
        Value::Object(fields) if fields.is_empty() => Some("{}".to_owned()),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .filter_map(|(key, value)| Some(format!("{key} = {}", toml(value)?)))
                .collect();
            Some(format!("{{ {} }}", fields.join(", ")))
        }
        Value::Number(number) => Some(shortest(number)),
        other => Some(other.to_string()),
    }
}

/// Numbers of 32 bits in as few digits as they need.
fn shortest(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(wide) if number.is_f64() && f64::from(wide as f32) == wide => {
            format!("{:?}", wide as f32)
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_said_in_words() {
        for (schema, words) in [
            (json!({"type": "integer", "minimum": 0}), "integer, 0 or more"),
            (json!({"type": ["number", "null"]}), "number"),
            (json!({"type": "array", "items": {"type": "number"}}), "list of numbers"),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "table of strings",
            ),
            (json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}), "integer"),
            (json!({}), "any value"),
        ] {
            let root = json!({"$defs": {"A": {"type": "integer"}}});
            assert_eq!(described(&root, &schema), words);
        }
    }

    #[test]
    fn defaults_are_toml() {
        let of = |value: Value| default(&json!({}), &json!({"default": value}), false);
        assert_eq!(of(json!("stop")).as_deref(), Some("\"stop\""));
        assert_eq!(of(json!(f64::from(0.1_f32))).as_deref(), Some("0.1"));
        assert_eq!(of(json!(0.05)).as_deref(), Some("0.05"));
        assert_eq!(of(json!({"a": [1, 2]})).as_deref(), Some("{ a = [1, 2] }"));
        assert_eq!(of(Value::Null), None);
    }
}
