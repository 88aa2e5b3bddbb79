//! A manifest for a folder of one's own, by looking at it.
//!
//! Files are put together by folder, ending and the words behind their names; the collection that
//! looks most like photographs is taken for the images, and whatever has the same names beside it
//! for their labels. What a label is, its values say.

mod kind;
mod series;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use self::kind::{Found, kind_of, looks_like_photographs};
use self::series::{Series, collect};
use crate::{Error, Result};

/// A manifest that was guessed, to be read over by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// The manifest as TOML.
    pub manifest: String,
    /// Names of its splits.
    pub splits: Vec<String>,
    /// What was seen and not understood.
    pub notes: Vec<String>,
}

/// Guesses the manifest of a data set called `name` that `folder` holds.
///
/// # Errors
/// [`Error::Config`] if there are no photographs, or none with labels; [`Error::Io`].
pub fn guess(name: &str, folder: &Path) -> Result<Guess> {
    let all = collect(folder)?;
    let (images, others) = images_among(folder, all)?;
    let (mut tasks, mut notes) = (Vec::new(), Vec::new());
    for series in &others {
        match pair(folder, &images, series) {
            Ok(task) => tasks.push(task),
            Err(note) => notes.push(format!("{}: {note}", series.pattern())),
        }
    }
    let classes = images.class_slot().filter(|_| tasks.is_empty());
    if tasks.is_empty() && classes.is_none() {
        let found = format!("images {} and no labels of the same names", images.pattern());
        return Err(wrong(folder, "photographs and labels of the same names", found));
    }
    let splits = images.splits();
    let manifest = text::manifest(name, &images, &tasks, &splits);
    let splits = match splits.is_empty() {
        true => text::SHARES.iter().map(|(split, _)| (*split).to_owned()).collect(),
        false => splits.into_iter().collect(),
    };
    Ok(Guess { manifest, splits, notes })
}

/// A label series that was understood.
struct Task {
    name: String,
    label: String,
    found: Found,
}

fn pair(folder: &Path, images: &Series, series: &Series) -> std::result::Result<Task, String> {
    let (shared, all) = (series.shared_with(images), series.len());
    if 2 * shared < all {
        return Err(format!("{shared} of {all} names are those of images; not taken for labels"));
    }
    let found = kind_of(folder, series)?;
    let name = series.word().unwrap_or_else(|| found.kind.to_owned());
    Ok(Task { name, label: series.label_pattern(images), found })
}

/// The photographs and all else; classes as folders become one series.
fn images_among(folder: &Path, mut all: Vec<Series>) -> Result<(Series, Vec<Series>)> {
    let score = |series: &Series| series.score() + looks_like_photographs(folder, series);
    let best = all.iter().map(score).max().filter(|&score| score > 0);
    let Some(best) = best else {
        let found = format!("{} collections of files", all.len());
        return Err(wrong(folder, "JPEG or PNG photographs", found));
    };
    if let Some(joined) = Series::of_class_folders(&all) {
        return Ok((joined, Vec::new()));
    }
    let longest = all.iter().filter(|series| score(series) == best).map(Series::len).max();
    let place = all.iter().position(|s| score(s) == best && Some(s.len()) == longest);
    let images = all.remove(place.expect("one of them has the best score"));
    Ok((images, all))
}

fn wrong(folder: &Path, expected: &str, found: String) -> Error {
    Error::Config {
        origin: folder.display().to_string(),
        key: "files".to_owned(),
        expected: expected.to_owned(),
        found,
    }
}

/// Names that differ, by numbers behind those that come again.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fresh = |name: String| {
        let again = (2..).map(|number| format!("{name}_{number}"));
        let found = std::iter::once(name.clone()).chain(again).find(|n| !seen.contains(n));
        let found = found.expect("numbers do not end");
        seen.insert(found.clone());
        found
    };
    names.map(fresh).collect()
}
