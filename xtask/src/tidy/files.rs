//! Which files are ours, and what may stand at the top level.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::below;

/// A text file of the repository.
pub(super) struct File {
    /// Below the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

/// The page that maps the repository.
pub(super) const PAGE: &str = "docs/architecture.md";

impl File {
    /// Whether it holds Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Its crate, and its path below that crate's `src`.
    pub(super) fn in_crate(&self) -> Option<(&str, &str)> {
        let (folder, below) = self.path.split_once("/src/")?;
        let name = if folder == "xtask" { folder } else { folder.strip_prefix("crates/")? };
        (!name.contains('/')).then_some((name, below))
    }

    /// Whether it is Rust below the `src` of a crate, and no tests.
    pub(super) fn is_library(&self) -> bool {
        self.is_rust() && self.in_crate().is_some() && !self.is_library_test()
    }

    /// Whether it holds unit tests alone: `tests.rs`, or below a folder `tests`.
    pub(super) fn is_library_test(&self) -> bool {
        let is_tests = |part: &str| ["tests", "tests.rs"].contains(&part);
        self.is_rust() && self.in_crate().is_some_and(|(_, below)| below.split('/').any(is_tests))
    }
}

const TOP_LEVEL: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "crates", "xtask", "docs", "datasets", "benches", "README.md"];

const TEXT: [&str; 9] = ["rs", "toml", "md", "py", "sh", "cc", "cpp", "h", "hpp"];

/// Every text file that git does not ignore.
pub(super) fn all(root: &Path) -> Result<Vec<File>> {
    let ignored = ignored(root)?;
    let mut files = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for item in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let item = item?;
            let (path, kind) = (below(root, &item.path()), item.file_type()?);
            if path == ".git" || ignored.contains(&path) {
                continue;
            } else if kind.is_dir() {
                pending.push(item.path());
            } else if kind.is_file() && is_text(&path) {
                let text = fs::read_to_string(item.path()).with_context(|| path.clone())?;
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn is_text(path: &str) -> bool {
    path.starts_with(".ci/") || path.rsplit_once('.').is_some_and(|(_, ext)| TEXT.contains(&ext))
}

/// The plain lines of `.gitignore`: `/name` at the top level.
fn ignored(root: &Path) -> Result<Vec<String>> {
    let path = root.join(".gitignore");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(text.lines().filter_map(|line| line.strip_prefix('/')).map(str::to_owned).collect())
}

/// What stands at the top level and should not.
pub(super) fn top_level(root: &Path) -> Result<Vec<String>> {
    let ignored = ignored(root)?;
    let mut breaches = Vec::new();
    for item in fs::read_dir(root).with_context(|| root.display().to_string())? {
        let name = item?.file_name().to_string_lossy().into_owned();
        let known = TOP_LEVEL.contains(&name.as_str())
            || name.starts_with("LICENSE")
            || name.starts_with('.');
        if !known && !ignored.contains(&name) {
            breaches.push(format!(
                "{name}: not among the top level's names ({}, LICENSE*)",
                TOP_LEVEL.join(" ")
            ));
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_at_the_top_level_are_named_and_ignored_files_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".gitignore"), "/target\n").unwrap();
        fs::create_dir_all(root.path().join("target/x")).unwrap();
        fs::create_dir(root.path().join("crates")).unwrap();
        fs::write(root.path().join("target/x/a.rs"), "").unwrap();
        fs::write(root.path().join("crates/b.rs"), "").unwrap();
        fs::write(root.path().join("crates/c.png"), [0xFF]).unwrap();
        fs::write(root.path().join("notes.txt"), "").unwrap();
        let paths: Vec<_> = all(root.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["crates/b.rs"]);
        let breaches = top_level(root.path()).unwrap();
        assert!(breaches.len() == 1 && breaches[0].starts_with("notes.txt"), "{breaches:?}");
    }
}
