//! Which photographs are meant, and what their predictions are called.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use polyptych_data::is_image_file;

use crate::Result;
use crate::error::io;

/// The photographs among `paths`, each once: files as they are, folders by what lies directly in
/// them. A file that is not there is among them; reading it says so.
///
/// # Errors
/// A folder that cannot be listed.
pub fn image_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(io(path))?;
            let mut inside: Vec<PathBuf> = entries
                .map(|entry| entry.map(|entry| entry.path()).map_err(io(path)))
                .collect::<Result<_>>()?;
            inside.retain(|file| is_image_file(file) && !file.is_dir());
            inside.sort();
            files.extend(inside);
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(absolute(file)));
    Ok(files)
}

/// Names in the folders among `paths` that [`image_files`] passes over: folders and other files.
///
/// # Errors
/// A folder that cannot be listed.
pub fn passed_over(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for folder in paths.iter().filter(|path| path.is_dir()) {
        for entry in std::fs::read_dir(folder).map_err(io(folder))? {
            let entry = entry.map_err(io(folder))?;
            let (path, hidden) =
                (entry.path(), entry.file_name().to_string_lossy().starts_with('.'));
            others.extend((!hidden && (path.is_dir() || !is_image_file(&path))).then_some(path));
        }
    }
    others.sort();
    Ok(others)
}

/// What the predictions of each of `files` are called, without an ending; no two are the same, in
/// upper or lower case.
///
/// The names of the photographs without their endings where all differ; else their paths below the
/// folder that holds all of them, `a/x` and `b/x`; with their endings where only these differ,
/// `a/x.jpg` and `a/x.png`.
pub fn output_names(files: &[PathBuf]) -> Vec<PathBuf> {
    let whole: Vec<PathBuf> = files.iter().map(|file| absolute(file)).collect();
    let common = common_folder(&whole);
    let below: Vec<PathBuf> = whole.iter().map(|file| relative(file, &common)).collect();
    let stem = |file: &PathBuf| PathBuf::from(file.file_stem().unwrap_or_default());
    let plain: Vec<PathBuf> = below.iter().map(stem).collect();
    let without: Vec<PathBuf> = below.iter().map(|file| file.with_extension("")).collect();
    [plain, without].into_iter().find(|names| differ(names)).unwrap_or(below)
}

fn differ(names: &[PathBuf]) -> bool {
    let lowercase: BTreeSet<String> =
        names.iter().map(|name| name.to_string_lossy().to_lowercase()).collect();
    lowercase.len() == names.len()
}

/// The path of `file` with its folder's links resolved, so that one file has one path.
fn absolute(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name: OsString = file.file_name().unwrap_or_default().into();
    folder.canonicalize().unwrap_or_else(|_| folder.into()).join(name)
}

fn common_folder(files: &[PathBuf]) -> PathBuf {
    let mut folders = files.iter().filter_map(|file| file.parent());
    let first = folders.next().unwrap_or(Path::new("")).to_path_buf();
    folders.fold(first, |common, folder| {
        let both = common.components().zip(folder.components());
        both.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// `file` below `folder`; its name alone where it is not there.
fn relative(file: &Path, folder: &Path) -> PathBuf {
    file.strip_prefix(folder)
        .map_or_else(|_| file.file_name().unwrap_or_default().into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_images_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.JPG", "a.png", "c.jpeg", "notes.txt", "d"] {
            std::fs::write(path(name), "").unwrap();
        }
        let found = image_files(&[folder.path().into(), path("a.png")]).unwrap();
        assert_eq!(found, ["a.png", "b.JPG", "c.jpeg"].map(path));
        std::fs::create_dir(path("more.png")).unwrap();
        let others = passed_over(&[folder.path().into(), path("a.png")]).unwrap();
        assert_eq!(others, ["d", "more.png", "notes.txt"].map(path));
        // What is named is taken, whatever it is called.
        assert_eq!(image_files(&[path("d")]).unwrap(), [path("d")]);
        assert_eq!(image_files(&[path("absent")]).unwrap(), [path("absent")]);
    }

    #[test]
    fn every_photograph_has_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let names = |files: &[&str]| -> Vec<String> {
            let files: Vec<PathBuf> = files.iter().map(|file| folder.path().join(file)).collect();
            output_names(&files).iter().map(|name| name.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&["a/x.jpg", "a/b/y.v2.png"]), ["x", "y.v2"]);
        assert_eq!(names(&["a/x.jpg", "a/b/x.jpg", "y.jpg"]), ["a/x", "a/b/x", "y"]);
        assert_eq!(names(&["a/x.jpg", "a/X.png"]), ["x.jpg", "X.png"]);
        let all = ["a/x.jpg", "a/b/x.jpg", "a/x.png"];
        assert_eq!(names(&all), ["x.jpg", "b/x.jpg", "x.png"]);
        assert_eq!(names(&["a/x.jpg"]), ["x"]);
    }
}
