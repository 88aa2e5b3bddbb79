//! Files whose lines hold an id and what it stands for.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path};

use super::manifest::refused;
use super::pattern::Slots;
use super::root::Root;
use crate::Result;
use crate::decode::unreadable;

/// The lines of a table: the id ends at the first space, the value is the rest.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), and [`Error::Config`](crate::Error::Config) for a line without
/// value, an id that comes twice, and a name that leads out of the data set's folder.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(path).map_err(unreadable(path))?;
    let origin = path.display().to_string();
    let mut known = HashMap::new();
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |expected: &str| refused(&origin, &format!("line {number}"), expected, line);
        let (id, value) = line
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| wrong("an id and a value with a space between"))?;
        let value = value.trim_start();
        if ![id, value].into_iter().all(is_inside) {
            return Err(wrong("names below the data set's folder"));
        }
        if let Some(first) = known.insert(id.to_owned(), number) {
            return Err(wrong(&format!("another id than that of line {first}")));
        }
        rows.push((id.to_owned(), value.to_owned()));
    }
    Ok(rows)
}

/// The rows of tables that list the same ids: `known`, the id, and one slot for each table.
pub(crate) fn join(
    root: &Root,
    tables: &BTreeMap<String, String>,
    known: &Slots,
) -> Result<Vec<Slots>> {
    let mut rows: BTreeMap<String, Slots> = BTreeMap::new();
    for (slot, file) in tables {
        for (id, value) in read(&root.file(file)?)? {
            let row = rows.entry(id).or_insert_with_key(|id| {
                known.iter().map(own).chain([("id".to_owned(), id.clone())]).collect()
            });
            row.insert(slot.clone(), value);
        }
    }
    for (id, row) in &rows {
        if let Some((_, file)) = tables.iter().find(|(slot, _)| !row.contains_key(*slot)) {
            let origin = root.path().join(file).display().to_string();
            return Err(refused(&origin, "id", "a line for every id of the other tables", id));
        }
    }
    Ok(rows.into_values().collect())
}

fn own((slot, value): (&String, &String)) -> (String, String) {
    (slot.clone(), value.clone())
}

/// Whether a name that a file gives stays below the folder it is joined to.
pub(crate) fn is_inside(name: &str) -> bool {
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !name.contains('\\') && Path::new(name).components().all(plain)
}
