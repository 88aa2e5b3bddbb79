//! Pages of results: a generated block, and prose that people write around it; and their data.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::lab::machine::{Origin, without_paths};

const START: &str = "<!-- generated:";
const END: &str = "<!-- /generated -->";

/// `block`, between marks that name the `command` which makes it again.
pub(crate) fn generated(command: &str, block: &str) -> String {
    format!("{START} {command} -->\n\n{}\n\n{END}", block.trim())
}

/// The page with a new generated block; text outside of the block of `old` is kept.
///
/// # Errors
/// An old page without the marks.
pub(crate) fn renew(old: Option<&str>, title: &str, generated: &str) -> Result<String> {
    let Some(old) = old else { return Ok(format!("# {title}\n\n{generated}\n")) };
    let start = old.find(START).with_context(|| format!("expected `{START}`, found none"))?;
    let length = old[start..].find(END).with_context(|| format!("expected `{END}`, found none"))?;
    Ok(format!("{}{generated}{}", &old[..start], &old[start + length + END.len()..]))
}

/// Machine and versions, in two lines.
pub(crate) fn origin_line(origin: &Origin) -> String {
    let machine = origin.machine();
    format!("{}, at commit {}.", machine.trim_end_matches('.'), origin.git.short())
}

/// Writes a page, without the paths of this machine.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(path, without_paths(text)).with_context(|| path.display().to_string())
}

/// Writes the data of a page: one line for each entry, numbers with six digits, so that a clone
/// stays small and a change shows the rows that changed.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn write_data(path: &Path, data: &impl Serialize) -> Result<()> {
    let mut value = serde_json::to_value(data)?;
    round(&mut value);
    write(path, &format!("{}\n", lines(&value)))
}

fn round(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(entries) => entries.values_mut().for_each(round),
        Value::Number(number) if number.is_f64() => {
            let short = number.as_f64().and_then(|exact| format!("{exact:.5e}").parse().ok());
            *value = short.map_or(Value::Null, |short: f64| short.into());
        }
        _ => {}
    }
}

/// JSON with a line for each entry, and for each row of a list of rows.
fn lines(value: &Value) -> String {
    let Value::Object(entries) = value else { return value.to_string() };
    let entry = |(key, value): (&String, &Value)| {
        let rows = value.as_array().filter(|rows| rows.iter().any(Value::is_object));
        let text = rows.map_or_else(|| value.to_string(), |rows| listed(rows));
        format!("{}: {text}", Value::from(key.as_str()))
    };
    format!("{{\n{}\n}}", entries.iter().map(entry).collect::<Vec<_>>().join(",\n"))
}

fn listed(rows: &[Value]) -> String {
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    format!("[\n{}\n]", rows.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_a_line_for_each_row_and_six_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.json");
        let data = serde_json::json!({
            "recipe": "a", "rows": [{"x": 1.234_567_89, "n": 12_345_678}, {"x": null, "n": 2}],
        });
        write_data(&path, &data).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\n\"recipe\": \"a\",\n\"rows\": [\n{\"x\":1.23457,\"n\":12345678},\n\
             {\"x\":null,\"n\":2}\n]\n}\n"
        );
        let again: Value = serde_json::from_str(&text).unwrap();
        write_data(&path, &again).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn prose_around_the_block_stays() {
        let first = renew(None, "Faults", &generated("make", "one\n")).unwrap();
        assert_eq!(first, "# Faults\n\n<!-- generated: make -->\n\none\n\n<!-- /generated -->\n");
        let written = first.replace("# Faults\n", "# Faults\n\nWhy.\n") + "\nThen.\n";
        let second = renew(Some(&written), "Faults", &generated("make", "two")).unwrap();
        assert_eq!(second, written.replace("one", "two"));
        assert!(renew(Some("text"), "t", "b").is_err());
    }
}
