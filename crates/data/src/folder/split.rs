//! Which images belong to a split.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::pattern::{Pattern, Slots};
use super::root::Root;
use super::similar_names::SimilarNames;
use super::split_context::SplitContext;
use super::{field_error::refused, fraction, table};
use crate::coco::image_names;
use crate::decode::{IMAGE_ENDINGS, read_text};
use crate::error::Absent;
use crate::{Error, Result};

/// The slots of every image of a split, in the order of its list or of paths.
pub(crate) fn images(context: &SplitContext) -> Result<Vec<Slots>> {
    let known = context.known();
    let pattern = &context.images;
    let mut images = match &context.split.list {
        Some(list) => listed(context, &context.root.file(list)?, &known)?,
        None if context.tables.is_empty() => {
            without_labels(context, pattern.find(context.root.path(), &known)?)
        }
        None => table::join(context.root, &context.tables, &known)?,
    };
    images.retain(|slots| slots.get("ext").is_none_or(|ext| is_image(ext)));
    let only = &context.split.only;
    images.retain(|slots| {
        only.iter().all(|(slot, only)| slots.get(slot).is_some_and(|value| only.allows(value)))
    });
    if !context.tables.is_empty() {
        images.sort_by_cached_key(|slots| pattern.expand(slots));
        require(context.root, pattern, &images)?;
    }
    distinct(context, &images)?;
    Ok(fraction::select(context, images))
}

/// Without files that are labels of images of other names: `7_mask.png` beside `7.png`.
fn without_labels(context: &SplitContext, mut images: Vec<Slots>) -> Vec<Slots> {
    let labels = |slots: &Slots| {
        let name = context.images.title(slots);
        context.label_files(slots).map(|label| (label, name.clone())).collect::<Vec<_>>()
    };
    let labels: HashMap<String, String> = images.iter().flat_map(labels).collect();
    images.retain(|slots| {
        let of = labels.get(&context.images.expand(slots));
        of.is_none_or(|image| *image == context.images.title(slots))
    });
    images
}

/// Refuses two files that one name stands for: labels and predictions could not tell them apart.
fn distinct(context: &SplitContext, images: &[Slots]) -> Result<()> {
    let mut files: HashMap<String, String> = HashMap::new();
    let mut same: Vec<(String, [String; 2])> = Vec::new();
    for slots in images {
        let (name, file) = (context.images.title(slots), context.images.expand(slots));
        match files.get(&name) {
            Some(first) if *first != file => same.push((name, [first.clone(), file])),
            Some(_) => {}
            None => drop(files.insert(name, file)),
        }
    }
    match same.first() {
        Some((name, files)) => Err(Error::SameName {
            origin: context.origin.clone(),
            split: context.name.to_owned(),
            name: name.clone(),
            files: Box::new(files.clone().map(|file| context.root.path().join(file))),
            count: same.len(),
        }),
        None => Ok(()),
    }
}

/// Refuses listed images that are not there, before training starts rather than in the middle.
fn require(root: &Root, pattern: &Pattern, images: &[Slots]) -> Result<()> {
    let mut near = SimilarNames::default();
    let absent = |slots: &Slots| {
        let path = root.find(pattern.expand(slots));
        let near = (!path.exists()).then(|| near.find(root.path(), &pattern.expand(slots)));
        near.map(|near| Absent { path, near })
    };
    let missing: Vec<Absent> = images.iter().filter_map(absent).collect();
    missing.is_empty().then_some(()).ok_or(Error::Missing { images: missing })
}

/// Whether files of this ending are images; folders hold previews, notes and checksums too.
pub(crate) fn is_image(ext: &str) -> bool {
    IMAGE_ENDINGS.iter().any(|known| ext.eq_ignore_ascii_case(known))
}

/// The images whose ids a file lists.
fn listed(context: &SplitContext, list: &Path, known: &Slots) -> Result<Vec<Slots>> {
    let ids = ids_of(list)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if let Some(id) = ids.iter().find(|id| !table::is_inside(id)) {
        let origin = list.display().to_string();
        return Err(refused(&origin, "id", "a name below the data set's folder", id));
    }
    let pattern = &context.images;
    let direct = pattern.slots().all(|slot| slot == "split" || slot == "id");
    let found = if direct { HashMap::new() } else { candidates(context, &ids, known)? };
    let mut images = Vec::new();
    for id in ids {
        match found.get(&composed(id)) {
            Some(files) => images.extend(files.iter().cloned()),
            None => {
                let own = [("id".to_owned(), id.to_owned())];
                images.push(known.clone().into_iter().chain(own).collect());
            }
        }
    }
    require(context.root, pattern, &images)?;
    Ok(images)
}

/// The records of the list of the split, in the order of their files; all without a list.
pub(crate) fn listed_records(
    context: &SplitContext,
    mut records: Vec<Slots>,
) -> Result<Vec<Slots>> {
    let Some(list) = &context.split.list else { return Ok(records) };
    let list = context.root.file(list)?;
    let ids: HashSet<String> = ids_of(&list)?.into_iter().collect();
    let key = |slots: &Slots| slots.get("id").cloned().unwrap_or_default();
    let known: HashSet<String> = records.iter().map(key).collect();
    let mut unknown: Vec<&String> = ids.difference(&known).collect();
    unknown.sort_unstable();
    if let Some(id) = unknown.first() {
        let like = records.first().map(key).unwrap_or_default();
        let expected = format!("keys of records of {}, such as {like}", context.files);
        return Err(refused(&list.display().to_string(), "id", expected, id));
    }
    records.retain(|slots| ids.contains(&key(slots)));
    Ok(records)
}

/// The ids of a list: lines of text, or the names of the images of a COCO file without endings.
fn ids_of(list: &Path) -> Result<Vec<String>> {
    if list.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("json")) {
        let stem = |name: String| match name.rsplit_once('.') {
            Some((stem, _)) => stem.to_owned(),
            None => name,
        };
        return Ok(image_names(list)?.into_iter().map(stem).collect());
    }
    let text = read_text(list)?;
    let ids = text.lines().map(str::trim).filter(|id| !id.is_empty());
    Ok(ids.map(str::to_owned).collect())
}

/// The images that are there by their ids, which may lead into folders.
fn candidates(
    context: &SplitContext,
    ids: &[&str],
    known: &Slots,
) -> Result<HashMap<String, Vec<Slots>>> {
    let mut found: HashMap<String, Vec<Slots>> = HashMap::new();
    let mut folders: BTreeMap<&str, ()> = BTreeMap::from([("", ())]);
    folders.extend(ids.iter().filter_map(|id| id.rsplit_once('/')).map(|(above, _)| (above, ())));
    for folder in folders.into_keys() {
        for mut slots in context.images.below(folder).find(context.root.path(), known)? {
            let Some(name) = slots.get("id").cloned() else { continue };
            if !slots.get("ext").is_none_or(|ext| is_image(ext)) {
                continue;
            }
            let id = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            slots.insert("id".to_owned(), id.clone());
            found.entry(composed(&id)).or_default().push(slots);
        }
    }
    Ok(found)
}

/// A name in the Unicode form that most keyboards write.
fn composed(name: &str) -> String {
    name.nfc().collect()
}
