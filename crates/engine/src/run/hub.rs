//! Weights by timm's name, such as `swin_tiny_patch4_window7_224.ms_in22k`: from a folder of one's
//! own, from the cache that Hugging Face's programs share, or from the hub. Files of any repository
//! there, as timm names it: `hf-hub:OWNER/NAME`, or `hf-hub:OWNER/NAME@REVISION`.
//!
//! | variable | what it says |
//! |---|---|
//! | `POLYPTYCH_WEIGHTS` | a folder that is looked into first: `<name>.safetensors`, or a folder `<name>` |
//! | `HF_HUB_CACHE`, else `HF_HOME` | the cache; `~/.cache/huggingface/hub` without either |
//! | `HF_HUB_OFFLINE` | `1` keeps to what is on disk |

use std::env;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use polyptych_backbones::BackboneConfig;

use crate::{Error, Result};

/// Who has timm's weights on the hub.
const OWNER: &str = "timm";
/// What stands in front of a repository's name.
const PREFIX: &str = "hf-hub:";
/// A repository's branch, unless its name says another revision.
const MAIN: &str = "main";
/// The file with a repository's weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The file with its tokenizer.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

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

    /// The file or folder that `weights` names: a path, timm's name of weights, or a repository.
    ///
    /// # Errors
    /// A name whose weights are nowhere; the message says what to fetch and where to put it.
    pub(crate) fn resolve(&self, weights: &str) -> Result<PathBuf> {
        let path = Path::new(weights);
        if path.exists() || !is_name(weights) {
            return self.file(weights, WEIGHTS);
        }
        let repository = Repository::of_timm(weights);
        match self.on_disk(weights, &repository) {
            Some(found) => Ok(found),
            None => {
                self.fetch(&repository, WEIGHTS).map_err(|e| self.absent(weights, &repository, &e))
            }
        }
    }

    /// The file or folder that `name` names: a path, or `file` of a repository.
    ///
    /// # Errors
    /// A repository that is none by its name, or whose file is nowhere; the message says what to
    /// fetch.
    pub(crate) fn file(&self, name: &str, file: &str) -> Result<PathBuf> {
        let Some(repository) = Repository::of(name)? else { return Ok(name.into()) };
        let found = self.snapshot(&repository).map(|snapshot| snapshot.join(file));
        match found.filter(|path| path.exists()) {
            Some(path) => Ok(path),
            None => {
                self.fetch(&repository, file).map_err(|e| self.lacks(name, &repository, file, &e))
            }
        }
    }

    fn on_disk(&self, name: &str, repository: &Repository) -> Option<PathBuf> {
        let own = self
            .folder
            .iter()
            .flat_map(|folder| [folder.join(format!("{name}.safetensors")), folder.join(name)]);
        own.chain(self.snapshot(repository)).find(|path| path.exists())
    }

    /// The snapshot that the revision names, by a note or by its own name; without a note of `main`
    /// the last one in the order of names.
    fn snapshot(&self, repository: &Repository) -> Option<PathBuf> {
        let folder = self.folder_of(repository);
        let (snapshots, revision) = (folder.join("snapshots"), &repository.revision);
        if let Ok(commit) = std::fs::read_to_string(folder.join("refs").join(revision)) {
            return Some(snapshots.join(commit.trim())).filter(|path| path.exists());
        }
        if revision != MAIN {
            return Some(snapshots.join(revision)).filter(|path| path.exists());
        }
        let entries = std::fs::read_dir(snapshots).ok()?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).max()
    }

    fn folder_of(&self, repository: &Repository) -> PathBuf {
        self.cache.join(format!("models--{}", repository.id.replace('/', "--")))
    }

    fn fetch(&self, repository: &Repository, file: &str) -> std::result::Result<PathBuf, String> {
        if !self.online {
            return Err("HF_HUB_OFFLINE is set".into());
        }
        let Repository { id, revision } = repository.clone();
        let api = ApiBuilder::from_env().with_cache_dir(self.cache.clone()).with_progress(false);
        let api = api.build().map_err(|e| e.to_string())?;
        let model = api.repo(Repo::with_revision(id, RepoType::Model, revision));
        model.get(file).map_err(|e| e.to_string())
    }

    fn absent(&self, name: &str, repository: &Repository, reason: &str) -> Error {
        let reason = reason.lines().next().unwrap_or_default();
        Error::Weights {
            name: name.into(),
            reason: format!(
                "expected them in {}, found none, and the hub gave none ({reason}); fetch {} and set \
                 backbone.weights to that file, or put it as {name}.safetensors into the folder \
                 that POLYPTYCH_WEIGHTS names",
                self.folder_of(repository).display(),
                repository.address(WEIGHTS)
            ),
        }
    }

    fn lacks(&self, name: &str, repository: &Repository, file: &str, reason: &str) -> Error {
        let reason = reason.lines().next().unwrap_or_default();
        Error::Weights {
            name: name.into(),
            reason: format!(
                "expected {file} in {}, found none, and the hub gave none ({reason}); fetch {} and \
                 name it instead",
                self.folder_of(repository).display(),
                repository.address(file)
            ),
        }
    }
}

/// A repository of models on the hub.
#[derive(Debug, Clone)]
struct Repository {
    /// `OWNER/NAME`.
    id: String,
    revision: String,
}

impl Repository {
    fn of_timm(name: &str) -> Self {
        Self { id: format!("{OWNER}/{name}"), revision: MAIN.into() }
    }

    /// The repository that `name` means; none where it is no such name at all.
    fn of(name: &str) -> Result<Option<Self>> {
        let Some(rest) = name.strip_prefix(PREFIX) else { return Ok(None) };
        let (id, revision) = rest.split_once('@').unwrap_or((rest, MAIN));
        let part = |text: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
            !text.is_empty() && text.chars().all(known) && !text.starts_with('.')
        };
        let is_id = id.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name));
        match is_id && revision.split('/').all(part) {
            true => Ok(Some(Self { id: id.into(), revision: revision.into() })),
            false => Err(Error::Weights {
                name: name.into(),
                reason: format!("expected {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION"),
            }),
        }
    }

    /// Where `file` can be fetched.
    fn address(&self, file: &str) -> String {
        format!("https://huggingface.co/{}/resolve/{}/{file}", self.id, self.revision)
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
            write(&repository.join("snapshots").join(commit).join(WEIGHTS));
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

    /// As `hf-hub` and Hugging Face's own programs lay a repository out.
    #[test]
    fn files_of_any_repository_are_read_from_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let hub = offline(root.path());
        let repository = root.path().join("hub/models--me--clip-small");
        let snapshot = |commit: &str| repository.join("snapshots").join(commit);
        write(&snapshot("1a").join(WEIGHTS));
        write(&snapshot("1a").join(TOKENIZER));
        write(&snapshot("2b").join(WEIGHTS));
        write(&repository.join("refs/main"));
        std::fs::write(repository.join("refs/main"), "1a").unwrap();
        write(&repository.join("refs/v2"));
        std::fs::write(repository.join("refs/v2"), "2b").unwrap();
        write(&repository.join("refs/refs/pr/12"));
        std::fs::write(repository.join("refs/refs/pr/12"), "2b").unwrap();
        for (name, commit) in [
            ("hf-hub:me/clip-small@refs/pr/12", "2b"),
            ("hf-hub:me/clip-small", "1a"),
            ("hf-hub:me/clip-small@v2", "2b"),
            ("hf-hub:me/clip-small@2b", "2b"),
        ] {
            assert_eq!(hub.file(name, WEIGHTS).unwrap(), snapshot(commit).join(WEIGHTS), "{name}");
            assert_eq!(hub.resolve(name).unwrap(), snapshot(commit).join(WEIGHTS), "{name}");
        }
        let tokenizer = hub.file("hf-hub:me/clip-small", TOKENIZER).unwrap();
        assert_eq!(tokenizer, snapshot("1a").join(TOKENIZER));
        assert_eq!(hub.file("folder", TOKENIZER).unwrap(), Path::new("folder"));
    }

    #[test]
    fn repositories_that_are_absent_or_none_are_named() {
        let root = tempfile::tempdir().unwrap();
        let hub = offline(root.path());
        let message = |name: &str| hub.file(name, TOKENIZER).unwrap_err().to_string();
        assert_eq!(
            message("hf-hub:me/clip-small@v2"),
            format!(
                "weights `hf-hub:me/clip-small@v2`: expected tokenizer.json in {}, found none, and the \
                 hub gave none (HF_HUB_OFFLINE is set); fetch \
                 https://huggingface.co/me/clip-small/resolve/v2/tokenizer.json and name it instead",
                root.path().join("hub/models--me--clip-small").display()
            )
        );
        for name in [
            "hf-hub:clip-small",
            "hf-hub:me/",
            "hf-hub:a/../b",
            "hf-hub:me/small@",
            "hf-hub:me/small@../x",
        ] {
            assert_eq!(
                message(name),
                format!(
                    "weights `{name}`: expected hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION"
                )
            );
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
