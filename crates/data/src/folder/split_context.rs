//! A manifest at the folder that it is opened over.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::TaskEntry;
use super::field_error::refused;
use super::format::Format;
use super::manifest::{Manifest, Split};
use super::pattern::{Pattern, Slots};
use super::root::Root;
use super::store::Store;
use crate::Result;
use crate::packed::RemoteSettings;

/// What reading one split needs to know.
#[derive(Debug)]
pub(crate) struct SplitContext<'a> {
    /// The manifest's path, for errors.
    pub(crate) origin: String,
    pub(crate) root: &'a Root,
    /// Name of the split.
    pub(crate) name: &'a str,
    pub(crate) split: &'a Split,
    pub(crate) store: Store,
    pub(crate) images: Pattern,
    /// The key `images` as it is.
    pub(crate) files: &'a str,
    /// The key `image`.
    pub(crate) image: Option<&'a str>,
    /// The key `remote`.
    pub(crate) remote: RemoteSettings,
    /// What the manifest says of orientation marks.
    pub(crate) upright: Option<bool>,
    /// Files that say what slots stand for, by slot.
    pub(crate) tables: BTreeMap<String, String>,
    /// What `{split}` stands for in all splits of the data set.
    pub(crate) folders: BTreeSet<String>,
    /// Places of the label files of each task; those with a wrong pattern are refused when the
    /// task is read.
    label_places: Vec<Vec<Pattern>>,
}

impl<'a> SplitContext<'a> {
    pub(crate) fn new(
        origin: String,
        manifest: &'a Manifest,
        root: &'a Root,
        name: &'a str,
    ) -> Result<Self> {
        let split = manifest.split(&origin, name)?;
        let text = &manifest.layout.images;
        // Braces of shards are ranges; their records are called by their keys.
        let pattern = if let Store::Packed(_) = manifest.layout.format { "{id}" } else { text };
        let images = Pattern::parse(pattern)
            .map_err(|expected| refused(&origin, "layout.images", expected, text))?;
        let tables = manifest.layout.tables.iter().chain(&split.tables);
        let tables = tables.map(|(slot, file)| (slot.clone(), file.clone())).collect();
        let folders = manifest.splits.iter().map(|(name, split)| split.folder(name).to_owned());
        let folders = folders.collect();
        let (store, upright) = (manifest.layout.format, manifest.layout.apply_exif_orientation);
        let label_places = Vec::new();
        let mut context = Self {
            origin,
            root,
            name,
            split,
            store,
            images,
            files: text,
            image: manifest.layout.image.as_deref(),
            remote: manifest.layout.remote.unwrap_or_default(),
            upright,
            tables,
            folders,
            label_places,
        };
        context.validate(text)?;
        context.label_places = manifest.tasks.iter().map(|task| context.places_of(task)).collect();
        Ok(context)
    }

    fn places_of(&self, task: &TaskEntry) -> Vec<Pattern> {
        let files = task.places().filter(|place| matches!(place.format, Format::File(_)));
        files.filter_map(|place| self.label_pattern(&task.name, &place.label).ok()).collect()
    }

    /// Where label files of an image may be, below the folder.
    pub(crate) fn label_files(&self, slots: &Slots) -> impl Iterator<Item = String> {
        self.label_places.iter().flatten().map(|place| place.expand(slots))
    }

    /// Which tasks have a label file of the image, a letter for each.
    pub(crate) fn labelled(&self, slots: &Slots) -> String {
        let there = |place: &Pattern| self.root.find(place.expand(slots)).exists();
        let has = |places: &Vec<Pattern>| if places.iter().any(there) { 'y' } else { 'n' };
        self.label_places.iter().map(has).collect()
    }

    /// What `{split}` stands for.
    pub(crate) fn folder(&self) -> &str {
        self.split.folder(self.name)
    }

    /// What slots stand for before any file is seen.
    pub(crate) fn known(&self) -> Slots {
        Slots::from([("split".to_owned(), self.folder().to_owned())])
    }

    /// Pattern of the labels of the task called `task`.
    pub(crate) fn label_pattern(&self, task: &str, label: &str) -> Result<Pattern> {
        let key = format!("tasks.{task}.label");
        let wrong = |expected: String| refused(&self.origin, &key, expected, label);
        let pattern = Pattern::parse(label).map_err(wrong)?;
        let known = |slot: &str| slot == "split" || self.slots().any(|other| other == slot);
        let fits = pattern.slots().all(known);
        let unknown = || wrong("only slots that layout.images has".to_owned());
        fits.then_some(pattern).ok_or_else(unknown)
    }

    /// Every slot that an image fills, beside `split`.
    fn slots(&self) -> impl Iterator<Item = &str> {
        let id = (!self.tables.is_empty()).then_some("id");
        self.images.slots().chain(id).chain(self.tables.keys().map(String::as_str))
    }

    fn validate(&self, images: &str) -> Result<()> {
        let wrong = |expected: &str| Err(refused(&self.origin, "layout.images", expected, images));
        let known = |slot: &str| slot == "id" || self.tables.contains_key(slot);
        let free: Vec<&str> = self.images.slots().filter(|&slot| slot != "split").collect();
        match self.store {
            Store::Idx if !free.is_empty() => {
                return wrong("a file of all images, with no slot but {split}");
            }
            Store::Files if !free.iter().any(|slot| known(slot)) => {
                return wrong("a pattern with {id}");
            }
            Store::Files if !self.tables.is_empty() && !free.iter().all(|slot| known(slot)) => {
                return wrong("no slots but {split}, {id} and those of `tables`");
            }
            _ => {}
        }
        let known = |slot: &str| slot == "split" || self.slots().any(|other| other == slot);
        let only = self.split.only.keys().map(|slot| ("only", slot));
        let mut named = only.chain(self.split.stratify.iter().map(|slot| ("stratify", slot)));
        match named.find(|(_, slot)| !known(slot)) {
            Some((key, slot)) => {
                let key = format!("splits.{}.{key}", self.name);
                Err(refused(&self.origin, &key, "slots of layout.images or of `tables`", slot))
            }
            None => Ok(()),
        }
    }
}
