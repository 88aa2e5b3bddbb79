//! Whether the folder of a model has changed: names, sizes and times of its files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::Control;

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Folders below that of a run, which hold no others: those of checkpoints.
const DEPTH: usize = 2;
/// What changes without the model: curves, evaluations, pictures.
const MODEL: [&str; 5] =
    ["recipe.toml", "tasks.json", "merge.json", "model.safetensors", "checkpoints"];

/// What was found in a folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fingerprint(Vec<File>);

/// A file: path, bytes, and the time of its last change as the system writes it.
type File = (PathBuf, u64, String);

impl Fingerprint {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut found = Vec::new();
        for name in MODEL {
            add(&folder.join(name), DEPTH, &mut found);
        }
        found.sort();
        Self(found)
    }
}

/// What cannot be read is as good as absent.
fn add(path: &Path, depth: usize, found: &mut Vec<File>) {
    let Ok(about) = path.metadata() else { return };
    if !about.is_dir() {
        found.push((path.into(), about.len(), format!("{:?}", about.modified().ok())));
        return;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    if depth > 0 {
        entries.for_each(|entry| add(&entry.path(), depth - 1, found));
    }
}

/// Asks for the model to be loaded anew whenever its folder has changed since `loaded` and is still
/// for one look.
pub(crate) async fn watch(folder: PathBuf, mut loaded: Fingerprint, control: Control) {
    let mut before = loaded.clone();
    loop {
        tokio::time::sleep(EVERY).await;
        let folder = folder.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || Fingerprint::of(&folder)).await else {
            return;
        };
        if now != loaded && now == before {
            loaded = now.clone();
            control.reload();
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_model_count_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir_all(folder.path().join("checkpoints/step-1")).unwrap();
        write("recipe.toml", "a");
        let first = Fingerprint::of(folder.path());
        write("metrics.jsonl", "{}");
        assert_eq!(Fingerprint::of(folder.path()), first);
        write("checkpoints/step-1/model.safetensors", "x");
        let second = Fingerprint::of(folder.path());
        assert_ne!(second, first);
        write("checkpoints/step-1/model.safetensors", "xy");
        assert_ne!(Fingerprint::of(folder.path()), second);
    }
}
