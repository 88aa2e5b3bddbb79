//! A data set as a recipe names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polyptych_data::{Dataset, FolderDataset, Root, Subset, TaskSpec, shipped_manifest};
use polyptych_synthetic::{FineGrained, FineGrainedConfig, Scenes, ScenesConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One data set of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "dataset", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceRecipe {
    /// The built-in scenes.
    Scenes(ScenesConfig),
    /// One domain of the built-in fine-grained categories.
    FineGrained(FineGrainedConfig),
    /// A folder that a manifest describes.
    Folder {
        /// The manifest; those of the repository, `datasets/camvid.toml`, are in the program too.
        manifest: PathBuf,
        /// The folder that holds the data; `data/<name of the manifest>` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<PathBuf>,
        /// The split.
        split: String,
        /// Only so many samples, at even distances.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
        /// Whether symbolic links may lead out of the folder, to another disk for example; such
        /// images are refused otherwise.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        follow_links: bool,
    },
}

impl SourceRecipe {
    /// Opens the data set.
    ///
    /// # Errors
    /// A manifest or folder that cannot be read, or an empty split.
    pub fn open(&self) -> Result<Arc<dyn Dataset>> {
        self.open_for(|_| true)
    }

    /// Opens the data set for tasks that are `wanted` by name: a folder needs no files of others.
    ///
    /// # Errors
    /// As [`SourceRecipe::open`].
    pub fn open_for(&self, wanted: impl Fn(&str) -> bool) -> Result<Arc<dyn Dataset>> {
        match self {
            SourceRecipe::Scenes(config) => Ok(Arc::new(Scenes::new(config.clone())?)),
            SourceRecipe::FineGrained(config) => Ok(Arc::new(FineGrained::new(config.clone())?)),
            SourceRecipe::Folder { manifest, root, split, limit, follow_links } => {
                let root = Root::new(&folder_of(manifest, root.as_deref())?, *follow_links);
                let folder: Arc<dyn Dataset> =
                    Arc::new(FolderDataset::open_for(manifest, &root, split, wanted)?);
                match limit {
                    Some(limit) => Ok(Arc::new(Subset::evenly(folder, *limit))),
                    None => Ok(folder),
                }
            }
        }
    }
}

impl SourceRecipe {
    /// The tasks of the data set; those of a folder that is not here as its manifest has them.
    ///
    /// # Errors
    /// A manifest that cannot be read, or that leaves the classes to the folder.
    pub(crate) fn described(&self) -> Result<Vec<TaskSpec>> {
        match self {
            SourceRecipe::Folder { manifest, root, .. }
                if folder_of(manifest, root.as_deref()).is_err() =>
            {
                Ok(FolderDataset::described(manifest)?)
            }
            _ => Ok(self.open_for(|_| false)?.tasks().to_vec()),
        }
    }
}

/// `root`, or the place where `cargo xtask data fetch` puts the data set.
///
/// # Errors
/// A folder that is not there, where the manifest is.
pub(crate) fn folder_of(manifest: &Path, root: Option<&Path>) -> Result<PathBuf> {
    let root = root.map_or_else(|| default_root(manifest), Path::to_path_buf);
    let known = manifest.exists() || shipped_manifest(manifest).is_some();
    if known && !root.exists() {
        return Err(absent(manifest, &root));
    }
    Ok(root)
}

fn absent(manifest: &Path, root: &Path) -> Error {
    let name = manifest.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Who fetches data sets knows those that ship, whose manifests name their archives.
    let how = match FolderDataset::has_archives(manifest) {
        true => format!("`cargo xtask data fetch {name}` brings it"),
        false => {
            "name its folder as `root` beside `manifest` (data.train.0.root), or with `--root DIR`"
                .into()
        }
    };
    Error::Recipe {
        origin: manifest.display().to_string(),
        key: "root".into(),
        reason: format!("expected the data set in {}, found no such folder; {how}", root.display()),
    }
}

fn default_root(manifest: &Path) -> PathBuf {
    Path::new("data").join(manifest.file_stem().unwrap_or_default())
}
