//! A folder as a recipe names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use polyptych_registry::part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dataset::FolderDataset;
use super::field_error::refused;
use super::root::Root;
use super::shipped::shipped_manifest;
use crate::{DataSource, Dataset, Result, Subset, TaskSpec};

/// One split of a folder that a manifest describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The manifest; those of the repository, `datasets/camvid.toml`, are in the program too.
    pub manifest: PathBuf,
    /// The folder that holds the data; `data/<name of the manifest>` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// The split.
    pub split: String,
    /// Only so many samples, at even distances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether symbolic links may lead out of the folder, to another disk for example; such
    /// images are refused otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow_links: bool,
}

part!(
    FolderConfig,
    "folder",
    "a folder that a manifest describes",
    FolderConfig {
        manifest: "datasets/camvid.toml".into(),
        root: None,
        split: "train".into(),
        limit: None,
        follow_links: false,
    }
);

impl DataSource for FolderConfig {
    fn open(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Arc<dyn Dataset>> {
        let folder = folder_of(&self.manifest, self.root.as_deref())?;
        let root = Root::new(&folder, self.follow_links);
        let opened = FolderDataset::open_for(&self.manifest, &root, &self.split, wanted)?;
        let folder: Arc<dyn Dataset> = Arc::new(opened);
        Ok(match self.limit {
            Some(limit) => Arc::new(Subset::evenly(folder, limit)),
            None => folder,
        })
    }

    /// Of a folder that is not here, what its manifest says.
    fn described(&self) -> Result<Vec<TaskSpec>> {
        match folder_of(&self.manifest, self.root.as_deref()) {
            Ok(_) => Ok(self.open(&|_| false)?.tasks().to_vec()),
            Err(_) => FolderDataset::described(&self.manifest),
        }
    }

    fn location_fields(&self) -> &'static [&'static str] {
        &["manifest", "root", "follow_links"]
    }
}

/// `root`, or the place where `cargo xtask data fetch` puts the data set of `manifest`.
///
/// # Errors
/// A folder that is not there, where the manifest is; of images at addresses none need be.
pub fn folder_of(manifest: &Path, root: Option<&Path>) -> Result<PathBuf> {
    let root = root.map_or_else(|| default_root(manifest), Path::to_path_buf);
    let known = manifest.exists() || shipped_manifest(manifest).is_some();
    if !known || root.exists() || FolderDataset::is_remote(manifest) {
        return Ok(root);
    }
    let name = manifest.file_stem().unwrap_or_default().to_string_lossy();
    // Who fetches data sets knows those that ship, whose manifests name their archives.
    let how = match FolderDataset::has_archives(manifest) {
        true => format!("`cargo xtask data fetch {name}` brings it"),
        false => {
            "name its folder as `root` beside `manifest` (data.train.0.root), or with `--root DIR`"
                .into()
        }
    };
    let (origin, expected) =
        (manifest.display().to_string(), format!("the data set in {}", root.display()));
    Err(refused(&origin, "root", expected, format!("no such folder; {how}")))
}

fn default_root(manifest: &Path) -> PathBuf {
    Path::new("data").join(manifest.file_stem().unwrap_or_default())
}
