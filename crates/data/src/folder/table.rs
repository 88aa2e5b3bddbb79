//! Files whose lines hold an id and what it stands for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use csv::{ReaderBuilder, Trim};

use super::field_error::refused;
use super::pattern::Slots;
use super::root::Root;
use crate::Result;
use crate::decode::read_text;

/// The rows of a table: an id, and what stands for `slot` beside it.
///
/// In a text file the id ends at the first space, and the value is the rest. In a `.csv` or `.tsv`
/// file the first line may name the columns, of which `slot` is one and `id`, or else the first,
/// another; without such names there are two columns.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), and [`Error::Config`](crate::Error::Config) for a line without
/// value, an id that comes twice, and a name that leads out of the data set's folder.
pub(crate) fn read(path: &Path, slot: &str) -> Result<Vec<(String, String)>> {
    let text = read_text(path)?;
    let origin = path.display().to_string();
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let separator = match ending.as_deref() {
        Some("csv") => Some(separator(&text)),
        Some("tsv") => Some(b'\t'),
        _ => None,
    };
    let lines = match separator {
        Some(separator) => separated(&origin, &text, separator, slot)?,
        None => spaced(&origin, &text)?,
    };
    let mut known = HashMap::new();
    let mut rows = Vec::new();
    for (number, id, value) in lines {
        let wrong = |expected: &str| {
            refused(&origin, &format!("line {number}"), expected, format!("{id} {value}"))
        };
        if ![&id, &value].into_iter().all(|name| is_inside(name)) {
            return Err(wrong("names below the data set's folder"));
        }
        if let Some(first) = known.insert(id.clone(), number) {
            return Err(wrong(&format!("another id than that of line {first}")));
        }
        rows.push((id, value));
    }
    Ok(rows)
}

/// Number of a line, id and value.
type Line = (u64, String, String);

fn spaced(origin: &str, text: &str) -> Result<Vec<Line>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parted = |(number, line): (u64, &str)| {
        let (id, value) = line.trim().split_once(char::is_whitespace).ok_or_else(|| {
            let expected = "an id and a value with a space between";
            refused(origin, &format!("line {number}"), expected, line)
        })?;
        Ok((number, id.to_owned(), value.trim_start().to_owned()))
    };
    lines.map(parted).collect()
}

/// Semicolons where spreadsheets of some languages write them.
fn separator(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    if first.contains(';') && !first.contains(',') { b';' } else { b',' }
}

fn separated(origin: &str, text: &str, separator: u8, slot: &str) -> Result<Vec<Line>> {
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).trim(Trim::All).delimiter(separator);
    let mut columns: Option<(usize, usize)> = None;
    let mut lines = Vec::new();
    for record in reader.from_reader(text.as_bytes()).into_records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            refused(origin, &format!("line {line}"), "a row of values", error)
        })?;
        let number = record.position().map_or(0, csv::Position::line);
        let place = |name: &str| record.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        let Some((id, value)) = columns else {
            columns = Some(match place(slot) {
                Some(value) => (place("id").unwrap_or(usize::from(value == 0)), value),
                None if record.len() == 2 => (0, 1),
                None => {
                    let expected = format!("two columns, or one that is called `{slot}`");
                    let found: Vec<&str> = record.iter().collect();
                    return Err(refused(origin, "line 1", expected, found.join(", ")));
                }
            });
            if place(slot).is_none() {
                lines.push((number, record[0].to_owned(), record[1].to_owned()));
            }
            continue;
        };
        match (record.get(id), record.get(value)) {
            (Some(id), Some(value)) if !id.is_empty() && !value.is_empty() => {
                lines.push((number, id.to_owned(), value.to_owned()));
            }
            _ => {
                let expected = "an id and a value";
                let found: Vec<&str> = record.iter().collect();
                return Err(refused(origin, &format!("line {number}"), expected, found.join(", ")));
            }
        }
    }
    Ok(lines)
}

/// The rows of tables that list the same ids: `known`, the id, and one slot for each table.
pub(crate) fn join(
    root: &Root,
    tables: &BTreeMap<String, String>,
    known: &Slots,
) -> Result<Vec<Slots>> {
    let mut rows: BTreeMap<String, Slots> = BTreeMap::new();
    for (slot, file) in tables {
        for (id, value) in read(&root.file(file)?, slot)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, text: &str) -> std::result::Result<Vec<(String, String)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let said = |error: crate::Error| {
            error.to_string().replace(&format!("{}/", folder.path().display()), "")
        };
        read(&path, "class").map_err(said)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn spreadsheets_are_tables() {
        let expected = pairs(&[("a, b", "big \"cat\""), ("c", "dog")]);
        let quoted = "\u{feff}\"a, b\",\"big \"\"cat\"\"\"\r\nc , dog\r\n";
        assert_eq!(rows("t.csv", quoted).unwrap(), expected);
        let named = "Class,note,ID\n\"big \"\"cat\"\"\",x,\"a, b\"\ndog,\"y\nz\",c\n";
        assert_eq!(rows("t.csv", named).unwrap(), expected);
        assert_eq!(rows("t.tsv", "a, b\tbig \"cat\"\nc\tdog\n").unwrap(), expected);
        assert_eq!(rows("t.csv", "file;class\nc;dog\n").unwrap(), pairs(&[("c", "dog")]));
        assert_eq!(
            rows("t.csv", "a,b,c\n").unwrap_err(),
            "t.csv: line 1: expected two columns, or one that is called `class`, found a, b, c"
        );
        assert_eq!(
            rows("t.csv", "id,class\na,\n").unwrap_err(),
            "t.csv: line 2: expected an id and a value, found a, "
        );
    }

    #[test]
    fn lines_of_a_text_end_their_id_at_the_first_space() {
        let found = rows("t.txt", "\u{feff}a  big cat \r\n\r\nb\tdog\r\n").unwrap();
        assert_eq!(found, pairs(&[("a", "big cat"), ("b", "dog")]));
    }
}
