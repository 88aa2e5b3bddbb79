//! Lists of ids that are splits, such as `ImageSets/Segmentation/train.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::series::{SPLITS, Series};
use crate::decode::read_text;

/// Longer files are no lists of ids.
const MOST_BYTES: u64 = 64 << 20;
const MAX_DEPTH: usize = 6;
/// Share of the lines that are ids of images, at least.
const KNOWN: f64 = 0.5;

/// Splits by name, each with its list, and what was seen and not taken.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) splits: BTreeMap<String, String>,
    pub(super) notes: Vec<String>,
}

/// The lists below `folder` whose lines are ids of `images`; of several folders of lists the one
/// that names the most images with labels.
pub(super) fn find(folder: &Path, images: &Series, labels: &[&Series]) -> Lists {
    let ids = images.ids();
    let labelled: BTreeSet<String> = match labels {
        [] => ids.clone(),
        _ => labels.iter().flat_map(|series| series.ids()).collect(),
    };
    let (mut folders, mut notes) = (BTreeMap::<PathBuf, Vec<List>>::new(), Vec::new());
    for path in texts(folder, &["txt"]) {
        match List::read(folder, &path, &ids, &labelled) {
            Ok(list) => folders.entry(list.above()).or_default().push(list),
            Err(Some(note)) => notes.push(note),
            Err(None) => {}
        }
    }
    let score = |lists: &Vec<List>| lists.iter().map(|list| list.labelled).sum::<usize>();
    let best =
        folders.iter().rev().max_by_key(|(_, lists)| score(lists)).map(|(path, _)| path.clone());
    let taken = best.and_then(|best| folders.remove(&best)).unwrap_or_default();
    notes.extend(taken.iter().filter_map(|list| list.note.clone()));
    for (other, _) in folders {
        notes.push(format!("{}: lists of fewer images with labels", other.display()));
    }
    let splits = taken.into_iter().map(|list| (list.name, list.path)).collect();
    Lists { splits, notes }
}

/// A list of ids.
#[derive(Debug)]
struct List {
    name: String,
    /// Path below the data set's folder.
    path: String,
    /// Ids with a label.
    labelled: usize,
    note: Option<String>,
}

impl List {
    /// A file as a list, or what is to be said of it.
    fn read(
        folder: &Path,
        path: &Path,
        ids: &BTreeSet<String>,
        labelled: &BTreeSet<String>,
    ) -> Result<Self, Option<String>> {
        let inside = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = stem.to_lowercase();
        if !SPLITS.contains(&name.as_str()) {
            return Err(None);
        }
        let text = read_text(path).map_err(|error| Some(error.to_string()))?;
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let Some(first) = lines.first() else {
            return Err(Some(format!("{inside}: an empty list")));
        };
        let known = lines.iter().filter(|line| ids.contains(**line)).count();
        if (known as f64) < KNOWN * lines.len() as f64 {
            let like = ids.iter().next().map_or("", String::as_str);
            return Err(Some(format!(
                "{inside}: {known} of {} lines are ids of images; a list holds ids such as {like}, \
                 found {first}",
                lines.len()
            )));
        }
        let missing = lines.len() - known;
        let note = format!("{inside}: {missing} of {} ids have no image", lines.len());
        let labelled = lines.iter().filter(|line| labelled.contains(**line)).count();
        Ok(Self { name, path: inside, labelled, note: (missing > 0).then_some(note) })
    }

    fn above(&self) -> PathBuf {
        Path::new(&self.path).parent().unwrap_or(Path::new("")).to_owned()
    }
}

/// Texts below `folder` with one of these endings, in the order of paths.
pub(super) fn texts(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    files(folder, endings, MOST_BYTES)
}

/// Files below `folder` with one of these endings and at most so many bytes, in the order of paths.
pub(super) fn files(folder: &Path, endings: &[&str], most_bytes: u64) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = pending.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let own = path.extension().unwrap_or_default();
            let text = endings.iter().any(|ending| own.eq_ignore_ascii_case(ending));
            match entry.metadata() {
                Ok(about) if about.is_dir() && depth < MAX_DEPTH && !hidden => {
                    pending.push((path, depth + 1));
                }
                Ok(about) if about.is_file() && text && about.len() <= most_bytes => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}
