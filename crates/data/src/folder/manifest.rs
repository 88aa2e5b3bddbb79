//! The part of a data set's manifest that says how its files lie and what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::entry::TaskEntry;
use super::field_error::{FieldError, refused};
use super::format::Format;
use super::store::Store;
use crate::Result;
use crate::packed::{RemoteSettings, is_address};

/// A data set's manifest.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Name of the data set.
    pub(crate) name: String,
    /// How the files lie.
    pub(crate) layout: Layout,
    /// Which images belong to each split, by the split's name.
    pub(crate) splits: BTreeMap<String, Split>,
    /// The tasks that images have labels for.
    pub(crate) tasks: Vec<TaskEntry>,
    /// Known variants of the data set, which `polyptych data check` tells apart.
    #[serde(default)]
    pub(crate) variants: Vec<Variant>,
    /// Where the data set comes from, for `cargo xtask data`: `homepage`, `citation`, `licence`,
    /// and where they apply `terms` and `manual`, which says where to ask for the data and what to
    /// put where.
    #[serde(default, rename = "source")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    _source: Option<toml::Value>,
    /// What `cargo xtask data fetch` downloads and unpacks, one table per file: `file`, `urls`,
    /// `format` (`tar.gz`, `tar`, `zip` or `none`), and optionally `sha256`, `bytes`, `strip`,
    /// `moves`, `into` and `unpacked_bytes`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    pub(crate) archive: Option<toml::Value>,
    /// Notes on what must be asked for by hand, for `cargo xtask data`.
    #[serde(default, rename = "manual")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    _manual: Option<toml::Value>,
}

/// How to recognise one variant of the data set.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// Name of the copy.
    pub(crate) name: String,
    /// Number of images by split.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, usize>,
    /// Height and width that most images have.
    #[serde(default)]
    pub(crate) size: Option<[usize; 2]>,
    /// Patterns of files, one of which at least the first image of each split has.
    #[serde(default)]
    pub(crate) has: Vec<String>,
}

/// How the files lie.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    /// Pattern of the images' paths.
    pub(crate) images: String,
    /// How many images a file holds.
    #[serde(default)]
    pub(crate) format: Store,
    /// Parts of records that hold the image, `;` between them: the first that a record has.
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// How files at http(s) addresses are fetched.
    #[serde(default)]
    pub(crate) remote: Option<RemoteSettings>,
    /// Files of ids and values, by the slot that the values fill.
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, String>,
    /// Whether images are turned as their orientation marks say; absent: they are.
    #[serde(default)]
    pub(crate) apply_exif_orientation: Option<bool>,
}

/// Which images belong to a split.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Split {
    /// File of ids, one a line, which are keys of records where files hold many; absent: all that
    /// the pattern finds.
    pub(crate) list: Option<PathBuf>,
    /// Files of ids and values of this split alone, beside those of the layout.
    pub(crate) tables: BTreeMap<String, String>,
    /// Values that a slot must have in this split.
    pub(crate) only: BTreeMap<String, Only>,
    /// What `{split}` stands for; absent: the split's name.
    pub(crate) folder: Option<String>,
    /// Share of the images whose names hash from the first number up to the second, 0 to 1.
    pub(crate) fraction: Option<[f64; 2]>,
    /// Slot for each of whose values the fraction is taken separately.
    pub(crate) stratify: Option<String>,
    /// Whether the fraction is taken separately for each combination of labelled tasks.
    pub(crate) stratify_labels: bool,
    /// Splits that this one may share images with.
    pub(crate) overlaps: Vec<String>,
}

/// What a slot must stand for.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or several")]
pub(crate) enum Only {
    /// This.
    One(String),
    /// One of these.
    Some(Vec<String>),
}

impl Only {
    /// Whether `value` is allowed.
    pub(crate) fn allows(&self, value: &str) -> bool {
        match self {
            Self::One(only) => only == value,
            Self::Some(list) => list.iter().any(|only| only == value),
        }
    }
}

impl Split {
    /// What `{split}` stands for in the split called `name`.
    pub(crate) fn folder<'a>(&'a self, name: &'a str) -> &'a str {
        self.folder.as_deref().unwrap_or(name)
    }
}

impl Manifest {
    /// The split of this name.
    pub(crate) fn split(&self, origin: &str, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.splits.keys().map(String::as_str).collect();
            refused(origin, "splits", format!("one of [{}]", names.join(", ")), name)
        })
    }

    /// What is wrong with the parts beside each other.
    pub(super) fn wrong(&self) -> Vec<FieldError> {
        let mut found: Vec<FieldError> =
            self.splits.iter().flat_map(|(name, split)| self.wrong_split(name, split)).collect();
        let mut names = BTreeSet::new();
        for task in &self.tasks {
            if !names.insert(&task.name) {
                found.push(FieldError::new("tasks.name", "each name once", &task.name));
            }
            if (task.format == Format::Idx) != (self.layout.format == Store::Idx) {
                let key = format!("tasks.{}.format", task.name);
                let expected = "`idx` for images in idx files, and only for them";
                found.push(FieldError::new(key, expected, task.format.name()));
            }
        }
        found.extend(self.wrong_records());
        if self.tasks.is_empty() {
            found.push(FieldError::new("tasks", "at least 1 task", 0));
        }
        if self.splits.is_empty() {
            found.push(FieldError::new("splits", "at least 1 split", 0));
        }
        if let (Store::Idx, Some(_)) = (self.layout.format, self.layout.apply_exif_orientation) {
            let key = "layout.apply_exif_orientation";
            found.push(FieldError::new(
                key,
                "no such key beside idx files, which have no marks",
                "one",
            ));
        }
        found
    }

    /// What is wrong beside files of records, or without them.
    fn wrong_records(&self) -> Vec<FieldError> {
        let store = self.layout.format;
        let mut found = Vec::new();
        if let (false, Some(image)) = (store.is_packed(), &self.layout.image) {
            let expected = "no such key beside files of one image";
            found.push(FieldError::new("layout.image", expected, image));
        }
        found.extend(self.wrong_remote());
        let single = |task: &&TaskEntry| !matches!(task.format, Format::File(_));
        if let Some(task) = self.tasks.iter().find(single).filter(|_| store.is_packed()) {
            let key = format!("tasks.{}.format", task.name);
            let expected = format!("a format of parts of records in {}", store.name());
            found.push(FieldError::new(key, expected, task.format.name()));
        }
        found
    }

    /// What is wrong with addresses, or with what is said of them.
    fn wrong_remote(&self) -> Vec<FieldError> {
        let (images, remote) = (&self.layout.images, &self.layout.remote);
        let mut found = Vec::new();
        match (self.layout.format, is_address(images)) {
            (Store::Packed(format), true) if format.open_remote.is_some() => {
                if images.contains('*') {
                    let expected = "ranges in braces, since a server lists no files";
                    found.push(FieldError::new("layout.images", expected, images));
                }
            }
            (store, true) => {
                let expected = format!(
                    "files on disk for {}; webdataset, parquet and arrow read addresses",
                    store.name()
                );
                found.push(FieldError::new("layout.images", expected, images));
            }
            (_, false) if remote.is_some() => {
                let expected = "no such key beside files on disk";
                found.push(FieldError::new("layout.remote", expected, "one"));
            }
            (_, false) => {}
        }
        for (key, expected, is) in remote.iter().flat_map(RemoteSettings::wrong) {
            found.push(FieldError::new(format!("layout.remote.{key}"), expected, is));
        }
        found
    }

    fn wrong_split(&self, name: &str, split: &Split) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut wrong = |key: &str, expected: &str, is: String| {
            found.push(FieldError::new(format!("splits.{name}{key}"), expected, is));
        };
        let [low, high] = split.fraction.unwrap_or([0.0, 1.0]);
        if !(0.0 <= low && low < high && high <= 1.0) {
            let expected = "[from, to] with 0 <= from < to <= 1";
            wrong(".fraction", expected, format!("[{low}, {high}]"));
        }
        if self.has_several_sources(split) {
            let expected =
                "one of `list`, `tables` and files of several images, `only` not for the last";
            wrong("", expected, "several".to_owned());
        }
        if let Some(other) = split.overlaps.iter().find(|o| !self.splits.contains_key(*o)) {
            wrong(".overlaps", "names of splits", other.clone());
        }
        if let (Some(slot), None) = (&split.stratify, split.fraction) {
            wrong(".stratify", "`fraction` beside it", slot.clone());
        }
        if split.stratify_labels && split.fraction.is_none() {
            wrong(".stratify_labels", "`fraction` beside it", "true".to_owned());
        }
        if let Some(folder) = split.folder.as_ref().filter(|_| !self.has_split_slot()) {
            let expected = "{split} in layout.images or in a label, which it stands for";
            wrong(".folder", expected, folder.clone());
        }
        found
    }

    fn has_split_slot(&self) -> bool {
        let labels = self.tasks.iter().flat_map(TaskEntry::places).map(|place| place.label);
        let mut patterns = labels.chain([self.layout.images.clone()]);
        patterns.any(|pattern| pattern.contains("{split}"))
    }

    /// Images come from one source: a list, tables or an idx file; a list may choose among records.
    fn has_several_sources(&self, split: &Split) -> bool {
        let tables = !(self.layout.tables.is_empty() && split.tables.is_empty());
        let several = self.layout.format != Store::Files;
        let only = several && !split.only.is_empty();
        let list = split.list.is_some() && !self.layout.format.is_packed();
        let sources = [tables, several, list, only];
        sources.into_iter().filter(|&there| there).count() >= 2
    }
}
