//! Files that are called nearly as one that is not there.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

/// Names in the folders that were looked into, and files that are known to be something else.
#[derive(Debug, Default)]
pub(crate) struct SimilarNames {
    folders: HashMap<PathBuf, Folder>,
    claimed: HashSet<PathBuf>,
}

/// Names of a folder by what is alike in them.
#[derive(Debug, Default)]
struct Folder {
    /// Whole names without case and Unicode form.
    whole: HashMap<String, Vec<String>>,
    /// The same without ending.
    stems: HashMap<String, Vec<String>>,
    /// The same without the words behind.
    heads: HashMap<String, Vec<String>>,
}

impl SimilarNames {
    /// `claimed` are files that are never what is looked for.
    pub(crate) fn new(claimed: HashSet<PathBuf>) -> Self {
        Self { claimed, ..Self::default() }
    }

    /// The file below `root` that is called like `name` but for case, Unicode form, ending or a
    /// word behind.
    pub(crate) fn find(&mut self, root: &Path, name: &str) -> Option<PathBuf> {
        let (folders, file) =
            name.rsplit_once('/').map_or(("", name), |(above, file)| (above, file));
        let mut folder = root.to_owned();
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            let next = folder.join(part);
            folder =
                if next.is_dir() { next } else { self.look(&folder, part, &[Likeness::Whole])? };
        }
        self.look(&folder, file, &[Likeness::Whole, Likeness::Stem, Likeness::Head])
    }

    fn look(&mut self, folder: &Path, name: &str, likenesses: &[Likeness]) -> Option<PathBuf> {
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), Folder::read(folder));
        }
        let names = self.folders.get(folder)?;
        let alike = likenesses.iter().flat_map(|likeness| names.alike(name, *likeness));
        let mut paths = alike.filter(|other| *other != name).map(|other| folder.join(other));
        paths.find(|path| !self.claimed.contains(path))
    }
}

/// What two names have in common.
#[derive(Debug, Clone, Copy)]
enum Likeness {
    Whole,
    Stem,
    Head,
}

impl Folder {
    fn read(folder: &Path) -> Self {
        let mut found = Self::default();
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        for name in names {
            let whole = plain(&name);
            let stem = stem(&whole);
            found.heads.entry(head(stem).to_owned()).or_default().push(name.clone());
            found.stems.entry(stem.to_owned()).or_default().push(name.clone());
            found.whole.entry(whole).or_default().push(name);
        }
        found
    }

    fn alike(&self, name: &str, likeness: Likeness) -> &[String] {
        let name = plain(name);
        let found = match likeness {
            Likeness::Whole => self.whole.get(&name),
            Likeness::Stem => self.stems.get(stem(&name)),
            Likeness::Head => self.heads.get(stem(&name)),
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// A name without case and in one Unicode form.
pub(crate) fn plain(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// A name without the words behind its separators; what begins with a digit is none.
pub(crate) fn head(stem: &str) -> &str {
    let is_word = |word: &str| word.starts_with(|c: char| c.is_alphabetic());
    let mut end = stem.len();
    while let Some(place) = stem[..end].rfind(['_', '-', '.']).filter(|&place| place > 0) {
        if !is_word(&stem[place + 1..end]) {
            break;
        }
        end = place;
    }
    &stem[..end]
}
