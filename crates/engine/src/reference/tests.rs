//! The reference has every key of the files that ship, and every field that serde reads.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use polyptych_data::manifest_schema;
use serde_json::{Map, Value, json};

use super::explain::is_at;
use super::keys::Key;
use super::parts::PartInfo;
use super::{Reference, recipe_schema, reference};

/// Paths of `value` that are not among `keys`, where `path` is that of `value`; parts have keys of
/// their own.
fn unknown(reference: &Reference, keys: &[Key], path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let of = |(name, value): (&String, &Value)| {
                of_field(reference, keys, &joined(path, name), value)
            };
            fields.iter().flat_map(of).collect()
        }
        Value::Array(items) => {
            let of = |(index, item): (usize, _)| {
                unknown(reference, keys, &joined(path, &index.to_string()), item)
            };
            items.iter().enumerate().flat_map(of).collect()
        }
        _ => Vec::new(),
    }
}

/// As [`unknown`], for a field of a table.
fn of_field(reference: &Reference, keys: &[Key], path: &str, value: &Value) -> Vec<String> {
    let goes_on = keys.iter().any(|key| is_below(&key.path, path));
    let Some(key) = keys.iter().find(|key| is_at(&key.path, path)) else {
        // The name of a table that is called as one likes is no key itself.
        return if goes_on { unknown(reference, keys, path, value) } else { vec![path.to_owned()] };
    };
    let is_of =
        |part: &&PartInfo| key.value == part.kind || key.value == format!("list of {}s", part.kind);
    let parts: Vec<&PartInfo> = reference.parts.iter().filter(is_of).collect();
    match (parts.is_empty(), goes_on) {
        (false, _) => of_parts(reference, &parts, value),
        (true, true) => unknown(reference, keys, path, value),
        // Any names, each with a plain value.
        (true, false) if key.value.starts_with("table of") => Vec::new(),
        (true, false) => unnamed(key, value),
    }
}

fn is_below(key: &str, path: &str) -> bool {
    let (words, depth) = (key.split('.').collect::<Vec<_>>(), path.split('.').count());
    words.len() > depth && is_at(&words[..depth].join("."), path)
}

/// Fields of tables without keys of their own that the text of `key` does not name.
fn unnamed(key: &Key, value: &Value) -> Vec<String> {
    let fields: BTreeSet<&String> = match value {
        Value::Object(fields) => fields.keys().collect(),
        Value::Array(items) => {
            items.iter().filter_map(Value::as_object).flat_map(Map::keys).collect()
        }
        _ => BTreeSet::new(),
    };
    let is_named = |field: &&String| key.about.contains(&format!("`{field}`"));
    fields.into_iter().filter(|field| !is_named(field)).map(|f| joined(&key.path, f)).collect()
}

/// As [`unknown`], for a part or a list of parts.
fn of_parts(reference: &Reference, parts: &[&PartInfo], value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    };
    let of = |item: &Value| {
        let is_named = |part: &&&PartInfo| {
            ["method", "name", "dataset"].iter().any(|tag| item[tag] == part.name.as_str())
        };
        match parts.iter().find(is_named) {
            Some(part) => unknown(reference, &part.keys, part.at, item),
            None => vec![format!("no part for {item}")],
        }
    };
    items.into_iter().flat_map(of).collect()
}

fn files(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), toml::from_str(&text).unwrap())
    };
    paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).map(read).collect()
}

#[test]
fn every_path_of_every_shipped_file_is_a_key() {
    let reference = reference();
    for (folder, keys) in
        [("../cli/recipes", &reference.recipe), ("../../datasets", &reference.manifest)]
    {
        let files = files(folder);
        assert!(files.len() > 20, "{folder}");
        for (name, value) in files {
            assert_eq!(unknown(&reference, keys, "", &value), [] as [&str; 0], "{name}");
        }
    }
}

#[test]
fn a_path_that_is_no_key_is_found_wherever_it_stands() {
    let reference = reference();
    let recipe = json!({
        "train": {"lr": 1.0, "lrr": 1.0},
        "adapter": {"method": "lora", "r": 1, "shared_r": 1},
        "tasks": {"depth": {"weight": 1.0, "heads": {}}},
        "data": {"eval": [{"dataset": "scenes", "len": 1, "manifest": "a"}]},
    });
    let found = unknown(&reference, &reference.recipe, "", &recipe);
    let expected = ["train.lrr", "adapter.shared_r", "tasks.depth.heads", "data.train.N.manifest"];
    assert_eq!(found, expected);
}

/// Names of the fields that serde reads, wherever they stand in `schema`.
fn fields(schema: &Value, found: &mut BTreeSet<String>) {
    found.extend(properties(schema).cloned());
    match schema {
        Value::Object(words) => words.values().for_each(|value| fields(value, found)),
        Value::Array(items) => items.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_that_serde_reads_is_a_key() {
    let reference = reference();
    let of_parts = reference.parts.iter().flat_map(|part| &part.keys);
    let recipe: Vec<&Key> = reference.recipe.iter().chain(of_parts).collect();
    let manifest: Vec<&Key> = reference.manifest.iter().collect();
    for (schema, keys) in [(recipe_schema(), recipe), (manifest_schema(), manifest)] {
        let ends: BTreeSet<String> =
            keys.iter().filter_map(|key| Some(key.path.rsplit('.').next()?.to_owned())).collect();
        let mut read = BTreeSet::new();
        fields(&schema, &mut read);
        assert!(read.len() > 30, "{read:?}");
        let lost: Vec<_> = read.difference(&ends).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = &String> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
