//! The keys of a manifest, and what is wrong with those of a file: all of it at once.

mod shape;

use serde::Deserialize;
use toml::{Table, Value};

use self::shape::{Key, Shape, joined, may, must};
use super::entry::TaskEntry;
use super::field_error::{FieldError, shown};
use super::format::{FORMATS, Format};
use super::manifest::{Split, Variant};
use super::store::STORES;
use super::unread_keys::unread;

/// Names that are alike at least so much are taken for slips of each other (Jaro and Winkler).
const ALIKE: f64 = 0.75;

const MANIFEST: &[Key] = &[
    must("name", Shape::Text),
    must("layout", Shape::Fields(LAYOUT)),
    must("splits", Shape::Table),
    must("tasks", Shape::Tables(TASK)),
    may("variants", Shape::Tables(VARIANT)),
    may("source", Shape::Any),
    may("archive", Shape::Any),
    may("manual", Shape::Any),
];
const LAYOUT: &[Key] = &[
    must("images", Shape::Text),
    may("format", Shape::OneOf(&STORES)),
    may("image", Shape::Text),
    may("remote", Shape::Fields(REMOTE)),
    may("tables", Shape::Texttable),
    may("apply_exif_orientation", Shape::Flag),
];
const REMOTE: &[Key] = &[
    may("cache_mib", Shape::Number),
    may("retries", Shape::Number),
    may("wait_s", Shape::Number),
    may("timeout_s", Shape::Number),
];
const SPLIT: &[Key] = &[
    may("list", Shape::Text),
    may("tables", Shape::Texttable),
    may("only", Shape::Table),
    may("folder", Shape::Text),
    may("fraction", Shape::Numbers(2)),
    may("stratify", Shape::Text),
    may("stratify_labels", Shape::Flag),
    may("overlaps", Shape::Texts),
];
const VARIANT: &[Key] = &[
    must("name", Shape::Text),
    may("images", Shape::Table),
    may("size", Shape::Wholes),
    may("has", Shape::Texts),
];
/// What a task is, where its labels lie and what they say, and what else there is to them.
const TASK: &[Key] = &joined::<{ KIND.len() + PLACE.len() + MORE.len() }>(&[KIND, PLACE, MORE]);
const KIND: &[Key] = &[must("name", Shape::Text), must("kind", Shape::OneOf(&KINDS))];
const MORE: &[Key] = &[
    may("classes", Shape::TextOrTexts),
    may("palette", Shape::Colours),
    may("flip_pairs", Shape::Pairs),
    may("or", Shape::Tables(PLACE)),
    may("mask", Shape::Fields(MASK)),
    may("parts", Shape::Table),
    may("categories", Shape::TextsOrTable),
    may("resize", Shape::Flag),
    may("allow_void", Shape::Flag),
];
/// Where labels lie and what their files say, of a task and of what stands in for its own.
const PLACE: &[Key] = &[
    must("label", Shape::Text),
    must("format", Shape::Format),
    may("ignore", Shape::Wholes),
    may("ignore_colors", Shape::Colours),
    may("map", Shape::Pairs),
    may("map_others", Shape::Whole),
    may("rotate_right", Shape::Whole),
    may("scale", Shape::Number),
    may("offset", Shape::Number),
    may("disparity", Shape::Number),
    may("outline", Shape::Flag),
    may("threshold", Shape::Number),
    may("signs", Shape::Numbers(3)),
];
const MASK: &[Key] =
    &[must("label", Shape::Text), must("format", Shape::Format), must("values", Shape::Wholes)];
const KINDS: [&str; 9] = [
    "semseg",
    "human_parts",
    "sal",
    "normals",
    "depth",
    "edge",
    "classification",
    "tags",
    "retrieval",
];

/// Everything that is wrong with single keys of a manifest.
pub(crate) fn wrong(manifest: &Table) -> Vec<FieldError> {
    let mut found = Vec::new();
    fields("", manifest, MANIFEST, &mut found);
    let empty = Table::new();
    let splits = manifest.get("splits").and_then(Value::as_table).unwrap_or(&empty);
    for (name, split) in splits {
        let (at, before) = (format!("splits.{name}"), found.len());
        match split.as_table() {
            Some(split) => fields(&format!("{at}."), split, SPLIT, &mut found),
            None => found.push(FieldError::new(&at, "a table, such as {}", shown(split))),
        }
        if before == found.len() {
            parsed::<Split>(&at, split, &mut found);
        }
    }
    let none = Vec::new();
    let tasks = manifest.get("tasks").and_then(Value::as_array).unwrap_or(&none);
    for (place, task) in tasks.iter().enumerate() {
        let at = name_of(task, place);
        if found.iter().any(|wrong| wrong.key.starts_with(&format!("tasks.{at}."))) {
            continue;
        }
        if let Some(entry) = parsed::<TaskEntry>(&format!("tasks.{at}"), task, &mut found) {
            found.extend(task.as_table().map(|task| unread(&entry, task)).unwrap_or_default());
            found.extend(entry.wrong());
        }
    }
    let variants = manifest.get("variants").and_then(Value::as_array).unwrap_or(&none);
    for (place, variant) in variants.iter().enumerate() {
        parsed::<Variant>(&format!("variants.{}", name_of(variant, place)), variant, &mut found);
    }
    found
}

/// What a table is called in errors: its name, or its place from 1.
fn name_of(table: &Value, place: usize) -> String {
    let name = table.get("name").and_then(Value::as_str).map(str::to_owned);
    name.unwrap_or_else(|| (place + 1).to_string())
}

/// The value as a structure; what keys do not tell of, its reader does.
fn parsed<'a, T: Deserialize<'a>>(
    at: &str,
    value: &Value,
    found: &mut Vec<FieldError>,
) -> Option<T> {
    match value.clone().try_into::<T>() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            if !found.iter().any(|wrong| wrong.key.starts_with(at)) {
                let reason = error.message().to_owned();
                found.push(FieldError::new(at, "values in range", reason));
            }
            None
        }
    }
}

fn fields(at: &str, table: &Table, keys: &[Key], found: &mut Vec<FieldError>) {
    for key in keys.iter().filter(|key| key.required && !table.contains_key(key.name)) {
        let expected = format!("{}, which must be there", key.shape.word());
        found.push(FieldError::new(format!("{at}{}", key.name), expected, "nothing"));
    }
    for (name, value) in table {
        match keys.iter().find(|key| key.name == name) {
            Some(key) => shaped(&format!("{at}{name}"), value, key.shape, found),
            None => found.push(unknown(at, name, keys)),
        }
    }
}

fn unknown(at: &str, name: &str, keys: &[Key]) -> FieldError {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    let expected = match alike(name, &names) {
        Some(near) => format!("a known key; did you mean `{near}`?"),
        None => format!("one of the keys {}", names.join(", ")),
    };
    FieldError::new(format!("{at}{name}"), expected, "an unknown key")
}

/// The name that is most like another one, if it is a slip.
fn alike<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let likeness = |other: &&&str| strsim::jaro_winkler(name, other);
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(*best)
}

fn shaped(at: &str, value: &Value, shape: Shape, found: &mut Vec<FieldError>) {
    match (shape, value) {
        (Shape::Tables(keys), Value::Array(items)) => {
            for (place, item) in items.iter().enumerate() {
                let at = format!("{at}.{}", name_of(item, place));
                match item.as_table() {
                    Some(table) => fields(&format!("{at}."), table, keys, found),
                    None => found.push(FieldError::new(at, "a table", shown(item))),
                }
            }
        }
        (Shape::Fields(keys), Value::Table(table)) => {
            fields(&format!("{at}."), table, keys, found);
        }
        (Shape::OneOf(names), Value::String(text)) if !names.contains(&text.as_str()) => {
            let near = alike(text, names).map(|near| format!("; did you mean `{near}`?"));
            let expected = format!("one of {}{}", names.join(", "), near.unwrap_or_default());
            found.push(FieldError::new(at, expected, text));
        }
        (Shape::Format, Value::String(text)) => {
            if let Err(expected) = Format::try_from(text.clone()) {
                let near = alike(text, &FORMATS).map(|near| format!("; did you mean `{near}`?"));
                found.push(FieldError::new(at, expected + &near.unwrap_or_default(), text));
            }
        }
        _ if shape.fits(value) => {}
        _ => found.push(FieldError::new(at, shape.word(), shown(value))),
    }
}
