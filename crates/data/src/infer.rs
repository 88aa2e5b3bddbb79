//! A manifest for a folder of one's own, by looking at it.
//!
//! Files are put together by folder, ending and the words behind their names; the collection that
//! looks most like photographs is taken for the images, and whatever has the same names beside it
//! for their labels. What a label is, its values say.

mod collect;
mod kind;
mod lists;
mod names;
mod series;
mod sizes;
mod splits;
mod task;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::path::Path;

use self::collect::collect;
use self::kind::{kind_of, looks_like_photographs};
use self::names::Names;
use self::series::Series;
use self::splits::Splits;
use self::task::Task;
use crate::{Error, Result};

/// A manifest that was inferred, to be read over by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferredManifest {
    /// The manifest as TOML.
    pub manifest: String,
    /// Names of its splits.
    pub splits: Vec<String>,
    /// What was seen and not understood.
    pub notes: Vec<String>,
    /// The same manifest with a tenth of the only split held out, where there is but one.
    pub held_out: Option<String>,
}

/// Infers the manifest of a data set called `name` that `folder` holds.
///
/// # Errors
/// [`Error::Config`] if there are no photographs, or none with labels, with what was seen instead;
/// [`Error::Io`].
pub fn infer_manifest(name: &str, folder: &Path) -> Result<InferredManifest> {
    let (all, mut notes) = collect(folder)?;
    let (images, others) = images_among(folder, all, &mut notes)?;
    let (mut tasks, names) = (Vec::new(), names::find(folder));
    for series in &others {
        match pair(folder, &images, series, &names) {
            Ok(task) => tasks.push((task, series)),
            Err(note) => notes.push(format!("{}: {note}", series.pattern())),
        }
    }
    let classes = images.class_slot().filter(|_| tasks.is_empty());
    if tasks.is_empty() && classes.is_none() {
        let found = format!("images {} and no labels of the same names", images.pattern());
        return Err(wrong(folder, "photographs and labels of the same names", with(found, &notes)));
    }
    let labels: Vec<&Series> = tasks.iter().map(|(_, series)| *series).collect();
    let splits = Splits::of(folder, &images, &labels, &mut notes);
    let tasks: Vec<Task> = tasks.into_iter().map(|(task, _)| task).collect();
    tasks.iter().for_each(|task| notes.extend(task.notes()));
    let text = |splits: &Splits| text::manifest(name, &images, &tasks, splits);
    let held_out = splits.held_out().as_ref().map(text);
    Ok(InferredManifest { manifest: text(&splits), splits: splits.names(), notes, held_out })
}

fn pair(
    folder: &Path,
    images: &Series,
    series: &Series,
    names: &[Names],
) -> std::result::Result<Task, String> {
    let (shared, all) = (series.shared_with(images), series.len());
    if 2 * shared < all {
        return Err(format!("{shared} of {all} names are those of images; not taken for labels"));
    }
    let mut found = kind_of(folder, series)?.named(names);
    let sizes = sizes::compare(folder, images, series);
    if sizes.other.is_some() {
        found.keys.push("resize = true # some labels differ in size from their images".to_owned());
    }
    let (first, others) = series.label_patterns(images);
    if !others.is_empty() {
        let place =
            |label: &String| format!("{{ label = {label:?}, format = {:?} }}", found.format);
        let places = others.iter().map(place).collect::<Vec<_>>().join(", ");
        found.keys.push(format!("or = [{places}]"));
    }
    let name = series.word().unwrap_or_else(|| found.kind.to_owned());
    let (label, missing) = (first, images.len().saturating_sub(shared));
    Ok(Task { name, label, found, sizes, missing })
}

/// The photographs and all else; classes as folders become one series.
fn images_among(
    folder: &Path,
    mut all: Vec<Series>,
    notes: &mut Vec<String>,
) -> Result<(Series, Vec<Series>)> {
    let mut scores = Vec::new();
    for series in &all {
        scores.push(match looks_like_photographs(folder, series) {
            Ok(likeness) => series.score() + likeness,
            Err(reason) => {
                if series.may_be_photographs() {
                    notes.push(format!("{}: {reason}", series.pattern()));
                }
                -10
            }
        });
    }
    let Some(best) = scores.iter().copied().max().filter(|&score| score > 0) else {
        let patterns: Vec<String> = all.iter().map(Series::pattern).collect();
        let found = match patterns.is_empty() {
            true => "no such file".to_owned(),
            false => format!("none among {}", patterns.join(", ")),
        };
        return Err(wrong(
            folder,
            "JPEG or PNG photographs, or WebP, TIFF, BMP",
            with(found, notes),
        ));
    };
    if let Some(joined) = Series::of_class_folders(&all) {
        return Ok((joined, Vec::new()));
    }
    let longest = (0..all.len())
        .filter(|&k| scores[k] == best)
        .max_by_key(|&k| (all[k].len(), usize::MAX - k));
    let images = all.remove(longest.expect("one of them has the best score"));
    Ok((images, all))
}

/// What was found, and every note on what was passed over.
fn with(found: String, notes: &[String]) -> String {
    notes.iter().fold(found, |text, note| format!("{text}\n  passed over: {note}"))
}

fn wrong(folder: &Path, expected: &str, found: String) -> Error {
    Error::Config {
        origin: folder.display().to_string(),
        key: "files".to_owned(),
        expected: expected.to_owned(),
        found,
    }
}
