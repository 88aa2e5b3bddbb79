//! The part of a data set's manifest that says how its files lie and what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::entry::TaskEntry;
use super::format::Format;
use super::shipped::shipped_manifest;
use crate::decode::unreadable;
use crate::{Error, Result};

/// A data set's manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Name of the data set.
    pub(crate) name: String,
    pub(crate) layout: Layout,
    pub(crate) splits: BTreeMap<String, Split>,
    pub(crate) tasks: Vec<TaskEntry>,
    /// Copies in circulation.
    #[serde(default)]
    pub(crate) variants: Vec<Variant>,
    /// Where the data set comes from; read by who fetches it.
    #[serde(default, rename = "source")]
    _source: Option<toml::Value>,
    /// What is fetched; read by who fetches it.
    #[serde(default, rename = "archive")]
    _archive: Option<toml::Value>,
    /// What must be asked for by hand; read by who fetches it.
    #[serde(default, rename = "manual")]
    _manual: Option<toml::Value>,
}

/// What tells one copy of the data set from others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    /// Pattern of the images' paths.
    pub(crate) images: String,
    #[serde(default)]
    pub(crate) format: Store,
    /// Files of ids and values, by the slot that the values fill.
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, String>,
}

/// How many images a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// One.
    #[default]
    Files,
    /// All of a split, in the format of MNIST.
    Idx,
}

/// Which images belong to a split.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Split {
    /// File of ids, one a line; absent: every file that the pattern finds.
    pub(crate) list: Option<PathBuf>,
    /// Files of ids and values of this split alone, beside those of the layout.
    pub(crate) tables: BTreeMap<String, String>,
    /// What slots must stand for.
    pub(crate) only: BTreeMap<String, Only>,
    /// What `{split}` stands for; absent: the split's name.
    pub(crate) folder: Option<String>,
    /// Share of the images whose names hash from the first number up to the second, 0 to 1.
    pub(crate) fraction: Option<[f64; 2]>,
    /// Splits that this one may share images with.
    pub(crate) overlaps: Vec<String>,
}

/// What a slot must stand for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// Reads and checks a manifest; `datasets/<name>.toml` of the repository is there anywhere.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Decode`] for what is not such a file, [`Error::Config`] for a
    /// field out of range.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match shipped_manifest(path) {
            Some(text) => Self::parse(path, text),
            None => Self::parse(path, &fs::read_to_string(path).map_err(unreadable(path))?),
        }
    }

    /// Reads and checks the text of the manifest `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text).map_err(|error| Error::Decode {
            path: path.to_owned(),
            format: "manifest",
            reason: error.to_string().trim_end().to_owned(),
        })?;
        manifest.validate(&path.display().to_string())?;
        Ok(manifest)
    }

    /// The split of this name.
    pub(crate) fn split(&self, origin: &str, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.splits.keys().map(String::as_str).collect();
            refused(origin, "splits", format!("one of [{}]", names.join(", ")), name)
        })
    }

    fn validate(&self, origin: &str) -> Result<()> {
        for (name, split) in &self.splits {
            let [low, high] = split.fraction.unwrap_or([0.0, 1.0]);
            if !(0.0 <= low && low < high && high <= 1.0) {
                let key = format!("splits.{name}.fraction");
                let expected = "[from, to] with 0 <= from < to <= 1";
                return Err(refused(origin, &key, expected, format!("[{low}, {high}]")));
            }
            self.validate_source(origin, name, split)?;
            if let Some(other) = split.overlaps.iter().find(|o| !self.splits.contains_key(*o)) {
                let key = format!("splits.{name}.overlaps");
                return Err(refused(origin, &key, "names of splits", other));
            }
        }
        let mut names = BTreeSet::new();
        for task in &self.tasks {
            if !names.insert(&task.name) {
                return Err(refused(origin, "tasks.name", "each name once", &task.name));
            }
            task.validate(origin)?;
            if (task.format == Format::Idx) != (self.layout.format == Store::Idx) {
                let key = format!("tasks.{}.format", task.name);
                let expected = "`idx` for images in idx files, and only for them";
                return Err(refused(origin, &key, expected, task.format.word()));
            }
        }
        let some = !self.tasks.is_empty();
        some.then_some(()).ok_or_else(|| refused(origin, "tasks", "at least 1 task", 0))
    }
}

impl Manifest {
    /// Images come from one source: a list, tables or an idx file.
    fn validate_source(&self, origin: &str, name: &str, split: &Split) -> Result<()> {
        let tables = !(self.layout.tables.is_empty() && split.tables.is_empty());
        let idx = self.layout.format == Store::Idx;
        let sources = [tables, idx, split.list.is_some(), idx && !split.only.is_empty()];
        if sources.into_iter().filter(|&there| there).count() < 2 {
            return Ok(());
        }
        let expected = "one of `list`, `tables` and images in idx files, `only` not for the last";
        Err(refused(origin, &format!("splits.{name}"), expected, "several"))
    }
}

/// The error of a wrong field.
pub(crate) fn refused(
    origin: &str,
    key: &str,
    expected: impl Into<String>,
    found: impl ToString,
) -> Error {
    let (origin, key, expected) = (origin.to_owned(), key.to_owned(), expected.into());
    Error::Config { origin, key, expected, found: found.to_string() }
}
