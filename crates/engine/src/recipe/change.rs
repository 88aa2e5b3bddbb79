//! In what do two recipes differ, and which of it may change within a run?

use std::collections::BTreeSet;
use std::fmt;

use polyptych_tensor::matches;
use serde_json::Value;

use super::config::Recipe;

/// What may change between two parts of a run; all else would make another run of it.
const MAY_CHANGE: [&str; 13] = [
    "description",
    "label",
    "device",
    "data.prefetch",
    "data.cache_mib",
    "data.on_bad_sample",
    "train.steps",
    "train.*_every",
    "train.save_total_limit",
    "train.max_skipped",
    "train.tensorboard",
    "train.lr",
    "train.schedule*",
];

/// One field that two recipes have otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path of the field.
    pub key: String,
    /// The value that it had; `none` where it was absent.
    pub old: String,
    /// The value that it has.
    pub new: String,
    /// Whether it says where samples of a data set are, and not which they are.
    is_location: bool,
}

impl Change {
    /// Whether a run may go on with it.
    pub(crate) fn is_allowed(&self) -> bool {
        self.is_location || matches(&MAY_CHANGE, &self.key)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.key, self.old, self.new)
    }
}

impl Recipe {
    /// All fields in which `new` differs from this recipe.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let value = |recipe: &Self| serde_json::to_value(recipe).unwrap_or(Value::Null);
        let found = differences(&value(self), &value(new)).into_iter();
        found.map(|c| Change { is_location: self.is_location(&c.key), ..c }).collect()
    }

    fn is_location(&self, key: &str) -> bool {
        let mut parts = key.strip_prefix("data.").unwrap_or_default().split('.');
        let sources = match parts.next() {
            Some("train") => &self.data.train,
            Some("eval") => &self.data.eval,
            _ => return false,
        };
        let place = parts.next().and_then(|place| place.parse::<usize>().ok());
        let source = place.and_then(|place| sources.get(place));
        let field = parts.next().unwrap_or_default();
        source.is_some_and(|source| source.location_fields().contains(&field))
    }
}

/// All fields in which two values differ, in the order of the first.
pub(crate) fn differences(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    walk("", old, new, &mut found);
    found
}

fn walk(path: &str, old: &Value, new: &Value, found: &mut Vec<Change>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut seen = BTreeSet::new();
            for key in a.keys().chain(b.keys()).filter(|key| seen.insert(key.as_str())) {
                let [old, new] = [a, b].map(|side| side.get(key).unwrap_or(&Value::Null));
                walk(&below(key), old, new, found);
            }
        }
        (Value::Array(a), Value::Array(b))
            if a.len() == b.len() && a.iter().any(Value::is_object) =>
        {
            for (index, (old, new)) in a.iter().zip(b).enumerate() {
                walk(&below(&index.to_string()), old, new, found);
            }
        }
        _ if old == new => {}
        _ => {
            let (old, new) = (shown(old), shown(new));
            found.push(Change { key: path.to_owned(), old, new, is_location: false });
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_is_named_by_its_path() {
        let old = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}, "l": [{"k": 1}, {"k": 2}]});
        assert!(differences(&old, &old).is_empty());
        let new = json!({"a": 1, "b": {"c": [1, 3]}, "l": [{"k": 1}, {"k": 3}], "e": true});
        let found: Vec<String> = differences(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["b.c [1,2] -> [1,3]", "b.d x -> none", "l.1.k 2 -> 3", "e none -> true"]
        );
    }

    #[test]
    fn what_may_change_is_said_by_name() {
        let allowed = |key: &str| {
            let (old, new) = (String::new(), String::new());
            Change { key: key.into(), old, new, is_location: false }.is_allowed()
        };
        for key in ["train.steps", "train.eval_every", "train.schedule.warmup_steps"] {
            assert!(allowed(key), "{key}");
        }
        for key in
            ["seed", "train.optimiser.name", "adapter.r", "data.train.0.split", "tasks.depth"]
        {
            assert!(!allowed(key), "{key}");
        }
    }
}
