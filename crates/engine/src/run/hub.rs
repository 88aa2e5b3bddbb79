//! Weights by timm's name, such as `swin_tiny_patch4_window7_224.ms_in22k`: from a folder of one's
//! own, from the cache that Hugging Face's programs share, or from the hub.
//!
//! | variable | what it says |
//! |---|---|
//! | `POLYPTYCH_WEIGHTS` | a folder that is looked into first: `<name>.safetensors`, or a folder `<name>` |
//! | `HF_HUB_CACHE`, else `HF_HOME` | the cache; `~/.cache/huggingface/hub` without either |
//! | `HF_HUB_OFFLINE` | `1` keeps to what is on disk |

use std::env;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use polyptych_backbones::BackboneConfig;

use crate::{Error, Result};

/// Who has timm's weights on the hub.
const OWNER: &str = "timm";
const FILE: &str = "model.safetensors";

/// Where named weights are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    /// The user's own folder.
    pub(crate) folder: Option<PathBuf>,
    /// The cache that Hugging Face's programs share.
    pub(crate) cache: PathBuf,
    /// Whether the network may be asked.
    pub(crate) online: bool,
}

impl Hub {
    /// What the environment says.
    pub(crate) fn from_env() -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let home = || folder("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let shared = || folder("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let hugging_face = || shared().unwrap_or_default().join("huggingface");
        let root = || folder("HF_HOME").map_or_else(hugging_face, PathBuf::from).join("hub");
        Self {
            folder: folder("POLYPTYCH_WEIGHTS").map(PathBuf::from),
            cache: folder("HF_HUB_CACHE").map_or_else(root, PathBuf::from),
            online: folder("HF_HUB_OFFLINE").is_none_or(|value| value == "0"),
        }
    }

    /// The file or folder that `weights` names: a path, or timm's name of weights.
    ///
    /// # Errors
    /// A name whose weights are nowhere; the message says what to fetch and where to put it.
    pub(crate) fn resolve(&self, weights: &str) -> Result<PathBuf> {
        let path = Path::new(weights);
        if path.exists() || !is_name(weights) {
            return Ok(path.into());
        }
        match self.on_disk(weights) {
            Some(found) => Ok(found),
            None if self.online => {
                self.fetch(weights).map_err(|reason| self.absent(weights, &reason))
            }
            None => Err(self.absent(weights, "HF_HUB_OFFLINE is set")),
        }
    }

    fn on_disk(&self, name: &str) -> Option<PathBuf> {
        let own = self
            .folder
            .iter()
            .flat_map(|folder| [folder.join(format!("{name}.safetensors")), folder.join(name)]);
        own.chain(self.snapshot(name)).find(|path| path.exists())
    }

    /// The snapshot that `main` names; without such a note the last one in the order of names.
    fn snapshot(&self, name: &str) -> Option<PathBuf> {
        let repository = self.repository(name);
        let snapshots = repository.join("snapshots");
        if let Ok(commit) = std::fs::read_to_string(repository.join("refs/main")) {
            return Some(snapshots.join(commit.trim())).filter(|path| path.exists());
        }
        let entries = std::fs::read_dir(snapshots).ok()?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).max()
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.cache.join(format!("models--{OWNER}--{name}"))
    }

    fn fetch(&self, name: &str) -> std::result::Result<PathBuf, String> {
        let api = ApiBuilder::from_env().with_cache_dir(self.cache.clone()).with_progress(false);
        let model = api.build().map_err(|e| e.to_string())?.model(format!("{OWNER}/{name}"));
        model.get(FILE).map_err(|e| e.to_string())
    }

    fn absent(&self, name: &str, reason: &str) -> Error {
        let reason = reason.lines().next().unwrap_or_default();
        Error::Weights {
            name: name.into(),
            reason: format!(
                "expected them in {}, found none, and the hub gave none ({reason}); fetch \
                 https://huggingface.co/{OWNER}/{name}/resolve/main/{FILE} and set \
                 backbone.weights to that file, or put it as {name}.safetensors into the folder \
                 that POLYPTYCH_WEIGHTS names",
                self.repository(name).display()
            ),
        }
    }
}

/// Whether `weights` is an architecture and a tag.
fn is_name(weights: &str) -> bool {
    let named = weights.split_once('.').is_some_and(|(architecture, tag)| {
        !tag.is_empty() && BackboneConfig::from_name(architecture).is_ok()
    });
    named && !weights.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "swin_tiny_patch4_window7_224.ms_in22k";

    fn offline(root: &Path) -> Hub {
        Hub { folder: Some(root.join("own")), cache: root.join("hub"), online: false }
    }

    fn write(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "weights").unwrap();
    }

    #[test]
    fn the_cache_of_the_hub_is_read_and_ones_own_folder_wins() {
        let root = tempfile::tempdir().unwrap();
        let hub = offline(root.path());
        let repository = root.path().join(format!("hub/models--timm--{NAME}"));
        for commit in ["1a", "2b"] {
            write(&repository.join("snapshots").join(commit).join(FILE));
        }
        assert_eq!(hub.resolve(NAME).unwrap(), repository.join("snapshots/2b"));
        write(&repository.join("refs/main"));
        std::fs::write(repository.join("refs/main"), "1a\n").unwrap();
        assert_eq!(hub.resolve(NAME).unwrap(), repository.join("snapshots/1a"));
        let own = root.path().join(format!("own/{NAME}.safetensors"));
        write(&own);
        assert_eq!(hub.resolve(NAME).unwrap(), own);
    }

    #[test]
    fn without_cache_and_network_the_error_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let message = offline(root.path()).resolve(NAME).unwrap_err().to_string();
        for part in [
            format!("weights `{NAME}`: expected them in {}", root.path().display()),
            format!("https://huggingface.co/timm/{NAME}/resolve/main/model.safetensors"),
            format!("{NAME}.safetensors into the folder that POLYPTYCH_WEIGHTS names"),
        ] {
            assert!(message.contains(&part), "{message}");
        }
    }

    #[test]
    fn paths_and_other_names_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        for name in ["weights/model.safetensors", "model.safetensors", "resnet50.a1_in1k"] {
            assert_eq!(offline(root.path()).resolve(name).unwrap(), Path::new(name));
        }
    }
}
