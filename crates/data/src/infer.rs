//! A manifest for a folder of one's own, by looking at it.
//!
//! Files are put together by folder, ending and the words behind their names; the collection that
//! looks most like photographs is taken for the images, and whatever has the same names beside it
//! for their labels. What a label is, its values say.

mod kind;
mod lists;
mod names;
mod series;
mod sizes;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::kind::{Found, kind_of, looks_like_photographs};
use self::names::Names;
use self::series::{Series, collect};
use self::sizes::Sizes;
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

/// How images are parted.
#[derive(Debug)]
pub(crate) enum Splits {
    /// By folders of these names.
    Folders(BTreeSet<String>),
    /// By lists of ids.
    Lists(BTreeMap<String, String>),
    /// By shares of all images.
    Shares,
    /// By shares of the images of the one folder that is called like a split.
    HeldOut(String),
}

impl Splits {
    fn of(folder: &Path, images: &Series, labels: &[&Series], notes: &mut Vec<String>) -> Self {
        let folders = images.splits();
        let lists = lists::find(folder, images, labels);
        notes.extend(lists.notes);
        match (folders.is_empty(), lists.splits.is_empty()) {
            (false, none) => {
                if !none {
                    let lists = lists.splits.into_values().collect::<Vec<_>>().join(", ");
                    notes.push(format!("{lists}: lists; the folders of the images are the splits"));
                }
                Self::Folders(folders)
            }
            (true, false) => Self::Lists(lists.splits),
            (true, true) => Self::Shares,
        }
    }

    /// Two splits where there is one folder.
    fn held_out(&self) -> Option<Self> {
        match self {
            Self::Folders(names) if names.len() == 1 => names.first().cloned().map(Self::HeldOut),
            _ => None,
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Folders(names) => names.iter().cloned().collect(),
            Self::Lists(lists) => lists.keys().cloned().collect(),
            Self::Shares => text::SHARES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Self::HeldOut(folder) => vec![folder.clone(), text::HELD_OUT.to_owned()],
        }
    }
}

/// A label series that was understood.
struct Task {
    name: String,
    label: String,
    found: Found,
    sizes: Sizes,
    /// Images without a label.
    missing: usize,
}

impl Task {
    fn notes(&self) -> Vec<String> {
        let mut notes = self.found.notes.clone();
        if let Some([[h, w], [height, width]]) = self.sizes.other {
            notes.push(format!(
                "labels of {h} x {w} pixels beside images of {height} x {width}: `resize = true` \
                 brings them to that size"
            ));
        }
        if let Some((image, mark)) = &self.sizes.marked {
            notes.push(format!(
                "{}: orientation mark {} ({}): `apply_exif_orientation` says whether labels are \
                 drawn on the image turned so",
                image.display(),
                mark.mark(),
                mark.describe()
            ));
        }
        if self.missing > 0 {
            let images = if self.missing == 1 {
                "1 image has"
            } else {
                &format!("{} images have", self.missing)
            };
            notes.push(format!("{images} no label"));
        }
        notes.into_iter().map(|note| format!("{}: {note}", self.label)).collect()
    }
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
