//! A manifest for a folder with COCO's JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::inferred::InferredManifest;
use super::lists::files;
use super::series::split_in;
use super::splits::SHARES;
use super::text::{distinct, key, lines, start};
use crate::Result;
use crate::coco::{Annotation, CocoFile};

/// Larger files are no annotations that are read.
const MOST_BYTES: u64 = 1 << 30;
/// Images that are looked for.
const LOOKED_FOR: usize = 8;
/// Most classes of a map.
const MOST_CLASSES: usize = 255;

/// One file that was understood.
struct Seen {
    /// Below the folder.
    path: String,
    /// The name of a split in its path.
    split: Option<String>,
    /// The path with `{split}`.
    label: String,
    /// Pattern of its images.
    images: String,
    found: Found,
}

/// What a file holds.
struct Found {
    images: usize,
    annotations: usize,
    panoptic: bool,
    /// Whether some annotation has a mask.
    masks: bool,
    /// Polygons of less than three corners.
    skipped: usize,
    categories: Vec<String>,
}

/// The manifest of `folder`, if it has JSON with `images`, `annotations` and `categories` and the
/// images that it names.
///
/// Where it is none, `notes` say why.
pub(super) fn recognise(
    name: &str,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Option<InferredManifest>> {
    let mut seen = Vec::new();
    for path in files(folder, &["json"], MOST_BYTES) {
        let below = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let file = match CocoFile::recognise(&path) {
            Some(Ok(file)) => file,
            Some(Err(error)) => {
                notes.push(error.to_string());
                continue;
            }
            None => continue,
        };
        match images(folder, &path, &file) {
            Some(images) => seen.push(look(below, &images, file)),
            None => notes.push(format!(
                "{below}: COCO JSON without its images in the folder, such as {}",
                file.images.first().map_or("none", |image| &image.file_name)
            )),
        }
    }
    if seen.iter().any(|s| s.split.is_some()) {
        let whole = |s: &Seen| format!("{}: COCO JSON of no split, skipped", s.path);
        notes.extend(seen.iter().filter(|s| s.split.is_none()).map(whole));
        seen.retain(|s| s.split.is_some());
    }
    let Some(pattern) = most(seen.iter().map(|s| (&s.images, s.found.images))) else {
        return Ok(None);
    };
    let (mut taken, others): (Vec<Seen>, Vec<Seen>) =
        seen.into_iter().partition(|s| s.images == pattern);
    let splits: BTreeMap<Option<String>, String> =
        taken.iter().rev().map(|s| (s.split.clone(), s.path.clone())).collect();
    let has_all = |label: &str| {
        let own: BTreeSet<_> =
            taken.iter().filter(|s| s.label == label).map(|s| &s.split).collect();
        splits.keys().all(|split| own.contains(split))
    };
    let whole: BTreeSet<String> =
        taken.iter().map(|s| s.label.clone()).filter(|label| has_all(label)).collect();
    let passed_over =
        |s: &Seen| format!("{}: COCO JSON of other images or splits, skipped", s.path);
    notes.extend(
        others.iter().chain(taken.iter().filter(|s| !whole.contains(&s.label))).map(passed_over),
    );
    taken.retain(|s| whole.contains(&s.label));
    let mut known = BTreeSet::new();
    taken.retain(|s| known.insert(s.label.clone()));
    if taken.is_empty() {
        return Ok(None);
    }
    Ok(Some(manifest(name, &pattern, &splits, &taken, std::mem::take(notes))))
}

/// What the most images have.
fn most<'a>(counts: impl Iterator<Item = (&'a String, usize)>) -> Option<String> {
    let mut all: BTreeMap<&String, usize> = BTreeMap::new();
    counts.for_each(|(name, count)| *all.entry(name).or_default() += count);
    all.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
}

fn look(path: String, images: &str, file: CocoFile) -> Seen {
    let split = split_in(&path);
    let masks = |a: &Annotation| a.segments_info.is_some() || a.has_mask();
    let mut categories: Vec<String> = Vec::new();
    for category in &file.categories {
        if !categories.contains(&category.name) {
            categories.push(category.name.clone());
        }
    }
    let found = Found {
        images: file.images.len(),
        annotations: file.annotations.len(),
        panoptic: file.annotations.iter().any(|a| a.segments_info.is_some()),
        masks: file.annotations.iter().any(masks),
        skipped: file.annotations.iter().map(Annotation::skipped).sum(),
        categories,
    };
    let with_slot = |text: &str| match &split {
        Some(split) if split_in(text).as_ref() == Some(split) => text.replacen(split, "{split}", 1),
        _ => text.to_owned(),
    };
    let (label, images) = (with_slot(&path), with_slot(images));
    Seen { path, split, label, images, found }
}

/// The pattern of the images of a file, if some of them are in the folder.
fn images(folder: &Path, json: &Path, file: &CocoFile) -> Option<String> {
    let endings: BTreeSet<&str> = file
        .images
        .iter()
        .map(|image| image.file_name.rsplit_once('.').map_or("", |(_, ending)| ending))
        .collect();
    let ending = match endings.iter().next() {
        Some(only) if endings.len() == 1 => (*only).to_owned(),
        _ => "{ext}".to_owned(),
    };
    let beside = json.parent().unwrap_or(folder).to_owned();
    let mut places: Vec<PathBuf> = vec![beside, folder.to_owned()];
    places.extend(folders(folder));
    let split = split_in(&json.strip_prefix(folder).unwrap_or(json).to_string_lossy());
    // Of several folders with files of one name that of the same split.
    places.sort_by_key(|place| {
        let own = split_in(&place.strip_prefix(folder).unwrap_or(place).to_string_lossy());
        own.is_some() && own != split
    });
    let some = |place: &&PathBuf| {
        let names = file.images.iter().take(LOOKED_FOR);
        names.into_iter().any(|image| place.join(&image.file_name).is_file())
    };
    let place = places.iter().find(some)?;
    let below = place.strip_prefix(folder).ok()?.to_str()?;
    let slash = if below.is_empty() { "" } else { "/" };
    Some(format!("{below}{slash}{{id}}.{ending}"))
}

/// Every folder below `folder`, in the order of paths.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(above) = pending.pop() {
        for entry in std::fs::read_dir(&above).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && found.len() < 10_000 {
                found.push(entry.path());
                pending.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn manifest(
    name: &str,
    images: &str,
    splits: &BTreeMap<Option<String>, String>,
    seen: &[Seen],
    mut notes: Vec<String>,
) -> InferredManifest {
    let mut text = start(name) + &format!("[layout]\nimages = {images:?}\n\n[splits]\n");
    let mut names = Vec::new();
    for (split, list) in splits {
        match split {
            Some(split) => {
                text += &format!("{} = {{ list = {list:?} }}\n", key(split));
                names.push(split.clone());
            }
            None => {
                text += "# No file is called like a split: a tenth of the images.\n";
                for (split, share) in SHARES {
                    text += &format!("{split} = {{ list = {list:?}, fraction = {share} }}\n");
                    names.push(split.to_owned());
                }
            }
        }
    }
    for (one, name) in seen.iter().zip(distinct(seen.iter().map(|s| word(s, seen.len())))) {
        text += &task(one, &name);
        notes.push(why(one));
    }
    InferredManifest { manifest: text, splits: names, notes, held_out: None }
}

/// A name for the task: `semseg` where there is one, else the words of the file's name.
fn word(seen: &Seen, count: usize) -> String {
    let stem = seen.label.rsplit('/').next().unwrap_or_default().replace("{split}", "");
    let stem = stem.strip_suffix(".json").unwrap_or(&stem).to_ascii_lowercase();
    let words: Vec<&str> =
        stem.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).collect();
    match words.is_empty() || count == 1 {
        true => "semseg".to_owned(),
        false => words.join("_"),
    }
}

fn why(seen: &Seen) -> String {
    let Found { images, annotations, panoptic, masks, skipped, categories } = &seen.found;
    let kind = if *panoptic { "panoptic COCO JSON" } else { "COCO JSON" };
    let more = match (masks, categories.len() > MOST_CLASSES) {
        (false, _) => "; boxes without masks, so only tags",
        (true, true) => "; more classes than a map has, so saliency: `categories` merges some",
        (true, false) => "; kinds sal, edge and tags can be had from it too",
    };
    let few = match skipped {
        0 => String::new(),
        count => format!("; skipped polygons of less than three corners: {count}"),
    };
    format!(
        "{}: {kind}, as it has images ({images}), annotations ({annotations}) and categories ({}){more}{few}",
        seen.path,
        categories.len()
    )
}

fn task(seen: &Seen, name: &str) -> String {
    let Found { panoptic, masks, categories, .. } = &seen.found;
    let kind = match (masks, categories.len() >= MOST_CLASSES) {
        (false, _) => "tags",
        (true, true) => "sal",
        (true, false) => "semseg",
    };
    let mut text = format!(
        "\n[[tasks]]\nname = {name:?}\nkind = {kind:?}\nlabel = {:?}\nformat = \"coco\"\n",
        seen.label
    );
    let mut classes = categories.clone();
    if kind == "semseg" && !panoptic {
        let background = classes.iter().position(|class| class == "background");
        let place = background.unwrap_or_else(|| {
            classes.insert(0, "background".to_owned());
            0
        });
        text +=
            &format!("# Pixels without an annotation; 255 for no label.\nmap_others = {place}\n");
    }
    if kind != "sal" {
        let names = classes.iter().map(|class| format!("{class:?}"));
        text += &format!("classes = [\n{}]\n", lines(names));
    }
    text
}
