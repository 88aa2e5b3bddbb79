//! What the data sets of a run were when it was saved, and in what others differ from them.

use std::collections::BTreeSet;

use polyptych_data::{DatasetRecord, TaskSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::recipe::change::differences;

/// Lists that are longer in text are compared entry by entry.
const LONG: usize = 60;

/// What the data sets of a run looked like from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum DataRecord {
    /// Data set by data set.
    Sets {
        /// What is learned from.
        train: Vec<DatasetRecord>,
        /// What is measured on.
        eval: Vec<DatasetRecord>,
    },
    /// As earlier versions wrote it: numbers and digests of images.
    Text(String),
}

impl Default for DataRecord {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl DataRecord {
    /// In what `now` differs, in words; of an earlier version's record in what it holds.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        match (self, now) {
            (Self::Sets { train, eval }, Self::Sets { train: now_train, eval: now_eval }) => {
                let parts = [("data.train", train, now_train), ("data.eval", eval, now_eval)];
                parts.into_iter().flat_map(|(key, old, new)| of_list(key, old, new)).collect()
            }
            _ => {
                let [old, new] = [self, now].map(Self::text);
                if old == new { Vec::new() } else { vec![expected("data", &old, &new)] }
            }
        }
    }

    /// All of it in one line: numbers, names and digests of the images.
    pub(crate) fn text(&self) -> String {
        let join = |records: &[DatasetRecord]| {
            records.iter().map(DatasetRecord::fingerprint).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Sets { train, eval } => format!("{}; {}", join(train), join(eval)),
            Self::Text(text) => text.clone(),
        }
    }
}

/// In what tasks differ from those that a run's folder names.
pub(crate) fn task_differences(known: &[TaskSpec], found: &[TaskSpec]) -> Vec<String> {
    // A run reads colours from its own folder.
    let by_name = |specs: &[TaskSpec]| -> Value {
        let keys = |spec: &TaskSpec| json!({"kind": spec.kind, "classes": spec.classes, "flip_pairs": spec.flip_pairs});
        specs.iter().map(|spec| (spec.name.clone(), keys(spec))).collect()
    };
    of_values("tasks.", &by_name(known), &by_name(found))
}

fn of_list(key: &str, old: &[DatasetRecord], new: &[DatasetRecord]) -> Vec<String> {
    if old.len() != new.len() {
        let names = |records: &[DatasetRecord]| {
            records.iter().map(|record| record.name.clone()).collect::<Vec<_>>().join(", ")
        };
        return vec![expected(key, &names(old), &names(new))];
    }
    let of_one = |(old, new): (&DatasetRecord, &DatasetRecord)| -> Vec<String> {
        let split = if old.split.is_empty() { String::new() } else { format!(", {}", old.split) };
        let place = format!("{key} ({}{split}): ", old.name);
        of_record(old, new).into_iter().map(|text| format!("{place}{text}")).collect()
    };
    old.iter().zip(new).flat_map(of_one).collect()
}

fn of_record(old: &DatasetRecord, new: &DatasetRecord) -> Vec<String> {
    let outside = |record: &DatasetRecord| {
        json!({
            "name": record.name,
            "split": record.split,
            "images": record.samples,
            "limit": record.limit,
            "bytes of all images": record.bytes,
        })
    };
    let mut found = of_values("", &outside(old), &outside(new));
    if found.is_empty() && old.images != new.images {
        found.push("names or lengths of single images are others".into());
    }
    let other = old.classes.iter().filter(|(task, digest)| {
        found.is_empty() && new.classes.get(*task).is_some_and(|new| new != *digest)
    });
    let other: Vec<String> = other
        .map(|(task, _)| format!("tasks.{task}: classes of single images are others"))
        .collect();
    let manifest = of_values("", &old.manifest, &known_to(&old.manifest, &new.manifest));
    [found, other, manifest].concat()
}

/// `new` without keys that `old` does not have: those of a later version.
fn known_to(old: &Value, new: &Value) -> Value {
    let mut new = new.clone();
    let known = |value: &Value| -> BTreeSet<String> {
        value.as_object().map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    };
    retain(new.get_mut("layout"), &known(&old["layout"]));
    for (task, old) in old["tasks"].as_object().into_iter().flatten() {
        retain(new.get_mut("tasks").and_then(|tasks| tasks.get_mut(task)), &known(old));
    }
    new
}

fn retain(value: Option<&mut Value>, keys: &BTreeSet<String>) {
    if let Some(Value::Object(map)) = value {
        map.retain(|key, _| keys.contains(key));
    }
}

fn of_values(before: &str, old: &Value, new: &Value) -> Vec<String> {
    let changes = differences(old, new).into_iter();
    changes
        .map(|change| {
            let key = format!("{before}{}", change.key);
            let list = |text: &String| serde_json::from_str::<Vec<Value>>(text).ok();
            match [&change.old, &change.new].map(list) {
                [Some(old), Some(new)] if change.old.len() > LONG => first_other(&key, &old, &new),
                _ => expected(&key, &change.old, &change.new),
            }
        })
        .collect()
}

/// Where two long lists differ first.
fn first_other(key: &str, old: &[Value], new: &[Value]) -> String {
    let place = old.iter().zip(new).position(|(a, b)| a != b);
    match place {
        Some(place) => {
            expected(&format!("{key}.{place}"), &old[place].to_string(), &new[place].to_string())
        }
        None => expected(key, &format!("{} entries", old.len()), &new.len().to_string()),
    }
}

fn expected(key: &str, old: &str, new: &str) -> String {
    format!("{key}: expected {old}, found {new}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(manifest: Value) -> DatasetRecord {
        let (name, split) = ("street".to_owned(), "train".to_owned());
        DatasetRecord { name, split, samples: 3, bytes: 90, manifest, ..DatasetRecord::default() }
    }

    fn differences(old: DatasetRecord, new: DatasetRecord) -> String {
        let sets = |train: DatasetRecord| DataRecord::Sets { train: vec![train], eval: Vec::new() };
        sets(old).differences(&sets(new)).join("; ")
    }

    #[test]
    fn counts_and_keys_are_said_with_both_values() {
        let old = json!({"tasks": {"semseg": {"ignore": [255], "map_others": null}}});
        let new = json!({"tasks": {"semseg": {"ignore": [], "map_others": 3, "later": 1}}});
        let fewer = DatasetRecord { samples: 2, ..record(new) };
        assert_eq!(
            differences(record(old.clone()), fewer),
            "data.train (street, train): images: expected 3, found 2; data.train (street, train): \
             tasks.semseg.ignore: expected [255], found []; data.train (street, train): \
             tasks.semseg.map_others: expected none, found 3"
        );
        assert_eq!(differences(record(old.clone()), record(old)), "");
    }

    #[test]
    fn long_lists_are_compared_by_the_first_other_entry() {
        let classes = |last: &str| {
            let mut names: Vec<String> = (0..20).map(|k| format!("class {k}")).collect();
            names.push(last.into());
            json!({"tasks": {"semseg": {"classes": names}}})
        };
        let found = differences(record(classes("road")), record(classes("street")));
        assert!(found.ends_with("tasks.semseg.classes.20: expected \"road\", found \"street\""));
    }

    #[test]
    fn records_of_earlier_versions_are_compared_as_texts() {
        let now = DataRecord::Sets { train: vec![record(Value::Null)], eval: Vec::new() };
        let old = |text: &str| DataRecord::Text(text.into()).differences(&now);
        assert!(old("3 samples of street; ").is_empty());
        assert_eq!(
            old("4 samples of street; "),
            ["data: expected 4 samples of street; , found 3 samples of street; "]
        );
    }
}
