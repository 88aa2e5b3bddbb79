//! What the parts of records that are texts are labels of: numbers of classes, one or several.

use std::collections::BTreeSet;

use super::text::lines;
use crate::packed::Records;

/// Records whose class numbers are looked at.
const COUNTED: usize = 20_000;
/// Most classes of a task.
const MOST_CLASSES: usize = 100_000;
/// Most classes of a list without names: larger numbers are those of words or of places.
const MOST_TAGS: usize = 1000;

/// Tables of the manifest, and what is said of texts that no task is made of.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) tasks: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// The tasks of those parts of `texts` that hold numbers of classes.
pub(super) fn of_texts(records: &dyn Records, texts: &BTreeSet<String>) -> Texts {
    let (mut found, mut others) = (Texts::default(), Vec::new());
    for part in texts {
        match Numbers::of(records, part).and_then(|numbers| task(records, part, &numbers)) {
            Some(task) => found.tasks.push(task),
            // Names of the files that images were.
            None if part.ends_with(".path") => {}
            None => others.push(part.as_str()),
        }
    }
    if !others.is_empty() {
        found.notes.push(format!(
            "texts that no task was made of: {}; kind = \"retrieval\" with format = \"text\" reads \
             what is said of an image, \"names_txt\" names of its classes",
            others.join(", ")
        ));
    }
    found
}

/// Whole numbers of a part.
struct Numbers {
    largest: Option<usize>,
    /// Whether some record has several.
    several: bool,
}

impl Numbers {
    /// None where a record has something else.
    fn of(records: &dyn Records, part: &str) -> Option<Self> {
        let count = records.len().min(COUNTED);
        let mut numbers = Self { largest: None, several: false };
        for index in (0..count).map(|k| k * records.len() / count) {
            let Some(bytes) = records.read(index, part).ok()? else { continue };
            let lines: Vec<&str> = std::str::from_utf8(&bytes).ok()?.lines().collect();
            numbers.several |= lines.len() > 1;
            for line in lines {
                // No label, as `datasets` writes it.
                if line.trim() != "-1" {
                    numbers.largest = numbers.largest.max(Some(line.trim().parse().ok()?));
                }
            }
        }
        Some(numbers)
    }
}

fn task(records: &dyn Records, part: &str, numbers: &Numbers) -> Option<String> {
    let known = records.classes(part);
    let most = if numbers.several { MOST_TAGS } else { MOST_CLASSES };
    // Numbers of records, times and the like are no classes.
    if known.is_none() && numbers.largest.is_some_and(|largest| largest >= most) {
        return None;
    }
    let kind = if numbers.several { "tags" } else { "classification" };
    let note = if known.is_some() { "" } else { "# Names by number: give them their own.\n" };
    let counted = || (0..=numbers.largest.unwrap_or(0)).map(|number| number.to_string()).collect();
    let names = known.unwrap_or_else(counted);
    (2..=MOST_CLASSES).contains(&names.len()).then(|| {
        let names = lines(names.iter().map(|name| format!("{name:?}")));
        format!(
            "\n[[tasks]]\nname = {part:?}\nkind = {kind:?}\nlabel = {part:?}\n\
             format = \"index_txt\"\n{note}classes = [\n{names}]\n"
        )
    })
}
