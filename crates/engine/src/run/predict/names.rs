//! Which photographs are meant, and what their predictions are called.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use polyptych_data::is_image_file;
use walkdir::{DirEntry, WalkDir};

use crate::Result;
use crate::error::io;

/// What paths on a command line mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFiles {
    /// Photographs and videos, each once: files as they are, folders by the files in them and in the
    /// folders below, in the order of names. A file that is not there is among them; reading it says
    /// so.
    pub files: Vec<PathBuf>,
    /// Files in folders that are of other formats.
    pub passed_over: Vec<PathBuf>,
}

impl ImageFiles {
    /// Looks into the folders among `paths`, but not into `out`, where predictions go. Hidden files
    /// and folders are left out, and links to folders are not followed.
    ///
    /// `is_other`: formats beside images that are wanted.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn of(paths: &[PathBuf], out: &Path, is_other: fn(&Path) -> bool) -> Result<Self> {
        let mut found = Self::default();
        for path in paths {
            match path.is_dir() {
                true => found.look_into(path, out, is_other)?,
                false => found.files.push(path.clone()),
            }
        }
        let mut seen = BTreeSet::new();
        found.files.retain(|file| seen.insert(absolute(file)));
        Ok(found)
    }

    fn look_into(&mut self, folder: &Path, out: &Path, is_other: fn(&Path) -> bool) -> Result<()> {
        let out = out.canonicalize().ok();
        let wanted = |entry: &DirEntry| {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let is_out = || entry.path().canonicalize().ok() == out && out.is_some();
            entry.depth() == 0 || !(hidden || entry.file_type().is_dir() && is_out())
        };
        for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(wanted) {
            let entry = entry.map_err(|e| {
                let place = e.path().unwrap_or(folder).to_owned();
                io(&place)(std::io::Error::from(e))
            })?;
            let path = entry.into_path();
            match path.is_dir() {
                true => {}
                false if is_image_file(&path) || is_other(&path) => self.files.push(path),
                false => self.passed_over.push(path),
            }
        }
        Ok(())
    }
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
        for below in ["d", "more.png", "out", ".hidden"] {
            std::fs::create_dir(path(below)).unwrap();
        }
        let names = ["b.JPG", "a.png", "c.jpeg", "notes.txt", ".a.png", "film.mp4"];
        let below = ["d/a.png", "more.png/x.jpg", "out/a.png", ".hidden/a.png"];
        names.iter().chain(&below).for_each(|name| std::fs::write(path(name), "").unwrap());
        let of = |paths: &[PathBuf]| {
            ImageFiles::of(paths, &path("out"), |file| file.ends_with("film.mp4")).unwrap()
        };
        let found = of(&[folder.path().into(), path("a.png")]);
        let expected = ["a.png", "b.JPG", "c.jpeg", "d/a.png", "film.mp4", "more.png/x.jpg"];
        assert_eq!(found.files, expected.map(path));
        assert_eq!(found.passed_over, [path("notes.txt")]);
        // What is named is taken, whatever it is called.
        for named in ["notes.txt", "absent"].map(path) {
            assert_eq!(of(std::slice::from_ref(&named)).files, [named]);
        }
        assert_eq!(of(&[path("out")]).files, [path("out/a.png")]);
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
