//! A folder of images and label files, looked at one kind of file after the other.

use std::path::Path;

use super::collect::collect;
use super::kind::{kind_of, looks_like_photographs};
use super::names::{self, Names};
use super::series::Series;
use super::sizes;
use super::task::Task;
use crate::{Error, Result};

/// Images and what was understood of their labels.
pub(super) struct Loose {
    pub(super) images: Series,
    pub(super) tasks: Vec<(Task, Series)>,
    /// What was not understood.
    pub(super) notes: Vec<String>,
}

/// Looks at `folder`, whose folders may be classes if `class_folders`.
///
/// # Errors
/// As [`infer_manifest`](super::infer_manifest), but for labels.
pub(super) fn look(folder: &Path, class_folders: bool) -> Result<Loose> {
    let (all, mut notes) = collect(folder)?;
    let (images, others) = images_among(folder, all, class_folders, &mut notes)?;
    let (mut tasks, names) = (Vec::new(), names::find(folder));
    for series in others {
        match pair(folder, &images, &series, &names) {
            Ok(task) => tasks.push((task, series)),
            Err(note) => notes.push(format!("{}: {note}", series.pattern())),
        }
    }
    Ok(Loose { images, tasks, notes })
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
    class_folders: bool,
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
    if let Some(joined) = Series::of_class_folders(&all).filter(|_| class_folders) {
        return Ok((joined, Vec::new()));
    }
    let longest = (0..all.len())
        .filter(|&k| scores[k] == best)
        .max_by_key(|&k| (all[k].len(), usize::MAX - k));
    let images = all.remove(longest.expect("one of them has the best score"));
    Ok((images, all))
}

/// What was found, and every note on what was passed over.
pub(super) fn with(found: String, notes: &[String]) -> String {
    notes.iter().fold(found, |text, note| format!("{text}\n  skipped: {note}"))
}

pub(super) fn wrong(folder: &Path, expected: &str, found: String) -> Error {
    Error::Config {
        origin: folder.display().to_string(),
        key: "files".to_owned(),
        expected: expected.to_owned(),
        found,
    }
}
