//! From the text of a manifest to a checked one.

use std::path::Path;

use super::field_error::refuse;
use super::keys;
use super::manifest::Manifest;
use super::shipped::shipped_manifest;
use crate::Result;
use crate::decode::{damaged, read_text};

impl Manifest {
    /// Reads and checks a manifest; `datasets/<name>.toml` of the repository is there anywhere.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Decode`] for what is not such a file, [`Error::Config`] for a
    /// field out of range.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match shipped_manifest(path) {
            Some(text) => Self::parse(path, text),
            None => Self::parse(path, &read_text(path)?),
        }
    }

    /// Reads and checks the text of the manifest `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let unreadable = |reason: &str| damaged(path, "manifest", reason.trim_end());
        let table: toml::Table =
            toml::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
        let origin = path.display().to_string();
        refuse(&origin, keys::wrong(&table))?;
        let manifest: Self =
            table.try_into().map_err(|error: toml::de::Error| unreadable(&error.to_string()))?;
        refuse(&origin, manifest.wrong())?;
        Ok(manifest)
    }
}
