//! A folder of images and label files, looked at one kind of file after the other.

use std::path::Path;

use super::collect::collect;
use super::found::Found;
use super::kind::{kinds_of, looks_like_photographs};
use super::names::{self, Names};
use super::series::{Family, Series, word_of};
use super::sizes::{self, Sizes};
use super::task::Task;
use crate::{Error, Result};

/// Images and what was understood of their labels.
pub(super) struct Loose {
    pub(super) images: Series,
    pub(super) tasks: Vec<Task>,
    /// What the tasks' labels are in.
    pub(super) labels: Vec<Series>,
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
    let (mut tasks, mut labels, names) = (Vec::new(), Vec::new(), names::find(folder));
    for series in others {
        match pair(folder, &images, &series, &names) {
            Ok(found) => {
                // What they were no photographs for is of no interest any more.
                let about = format!("{}: ", series.pattern());
                notes.retain(|note| !note.starts_with(&about));
                tasks.extend(found);
                labels.push(series);
            }
            Err(note) => notes.push(format!("{}: {note}", series.pattern())),
        }
    }
    Ok(Loose { images, tasks, labels, notes })
}

/// The tasks that `series` has labels of.
fn pair(
    folder: &Path,
    images: &Series,
    series: &Series,
    names: &[Names],
) -> std::result::Result<Vec<Task>, String> {
    let (shared, all) = (series.shared_with(images), series.len());
    if 2 * shared < all {
        return Err(format!("{shared} of {all} names are those of images; not taken for labels"));
    }
    let missing = images.len().saturating_sub(shared);
    let is_array = matches!(series.family, Family::Array | Family::Hdf5 | Family::Mat);
    let found = kinds_of(folder, series)?;
    let several = found.len() > 1;
    let task = |found: Found| -> std::result::Result<Task, String> {
        let own = found.array.as_deref().and_then(word_of);
        let name = match several || series.family == Family::Safetensors {
            true => own.or_else(|| series.word()),
            false => series.word().or(own),
        };
        let name = name.unwrap_or_else(|| found.kind.to_owned());
        let mut found = found.named(names);
        let (label, sizes) = place(folder, images, series, &mut found);
        match sizes.other.filter(|&sizes| is_array && sizes::is_no_map(sizes)) {
            None => Ok(Task { name, label, found, sizes, missing }),
            Some([[h, w], [height, width]]) => Err(format!(
                "arrays of {h} x {w} numbers beside images of {height} x {width}, too few for maps \
                 of pixels; not taken for labels"
            )),
        }
    };
    found.into_iter().map(task).collect()
}

/// Where the labels are and what their sizes tell, with the keys that go with it.
fn place(folder: &Path, images: &Series, series: &Series, found: &mut Found) -> (String, Sizes) {
    let sizes = sizes::compare(folder, images, series, &found.format);
    if sizes.other.is_some() {
        found.keys.push("resize = true # some labels differ in size from their images".to_owned());
    }
    let (label, others) = series.label_patterns(images);
    if !others.is_empty() {
        let place =
            |label: &String| format!("{{ label = {label:?}, format = {:?} }}", found.format);
        let places = others.iter().map(place).collect::<Vec<_>>().join(", ");
        found.keys.push(format!("or = [{places}]"));
    }
    (label, sizes)
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
