//! Lists within the messages of errors.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// An image that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The file.
    pub path: PathBuf,
    /// The file that is called nearly so.
    pub near: Option<PathBuf>,
}

pub(super) fn first_of(images: &[Absent]) -> String {
    let said = |absent: &Absent| {
        let Absent { path, near } = absent;
        format!("{}: no such image{}", path.display(), there_is(path, near.as_ref()))
    };
    images.first().map(said).unwrap_or_default()
}

pub(super) fn more_than_one(images: &[Absent]) -> String {
    match images.len() {
        0 | 1 => String::new(),
        all => format!(", and {} more are missing", all - 1),
    }
}

/// Errors of one file, each on a line of its own without the file's name.
pub(super) fn one_a_line(origin: &str, fields: &[impl Display]) -> String {
    let line = |error: &_| {
        let text = ToString::to_string(error);
        let text = text.strip_prefix(&format!("{origin}: ")).map_or(&*text, |rest| rest);
        format!("\n  {text}")
    };
    fields.iter().map(line).collect()
}

pub(super) fn and_more(count: usize) -> String {
    if count > 1 { format!(", and {} more", count - 1) } else { String::new() }
}

/// The first names of a list that may be long.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(5).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => shown,
        all => format!("{shown} and {} more", all - 5),
    }
}

/// What is said of the file that is there instead of `missing`.
pub(super) fn there_is(missing: &Path, near: Option<&PathBuf>) -> String {
    let Some(near) = near else { return String::new() };
    let composed = |path: &Path| path.to_string_lossy().nfc().collect::<String>();
    match composed(missing) == composed(near) {
        true => format!(" (there is {} in another Unicode form)", near.display()),
        false => format!(" (there is {})", near.display()),
    }
}
