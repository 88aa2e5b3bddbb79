//! The part of a data set's manifest that says how its files lie and what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::entry::TaskEntry;
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

/// How the files lie.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    /// Pattern of the images' paths.
    pub(crate) images: String,
}

/// Which images belong to a split.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Split {
    /// File of ids, one a line; absent: every file that the pattern finds.
    pub(crate) list: Option<PathBuf>,
    /// What `{split}` stands for; absent: the split's name.
    pub(crate) folder: Option<String>,
    /// Share of the images whose names hash from the first number up to the second, 0 to 1.
    pub(crate) fraction: Option<[f64; 2]>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Decode`] for what is not such a file, [`Error::Config`] for a
    /// field out of range.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(unreadable(path))?;
        let manifest: Self = toml::from_str(&text).map_err(|error| Error::Decode {
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
        }
        let mut names = BTreeSet::new();
        for task in &self.tasks {
            if !names.insert(&task.name) {
                return Err(refused(origin, "tasks.name", "each name once", &task.name));
            }
            task.validate(origin)?;
        }
        let some = !self.tasks.is_empty();
        some.then_some(()).ok_or_else(|| refused(origin, "tasks", "at least 1 task", 0))
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
