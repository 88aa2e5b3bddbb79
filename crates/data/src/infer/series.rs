//! Files that belong together: of one folder, one kind of file, and one word behind their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use unicode_normalization::UnicodeNormalization;

/// Names of folders that are splits.
pub(super) const SPLITS: [&str; 8] =
    ["train", "training", "val", "valid", "validation", "test", "testing", "dev"];
const PHOTOGRAPHS: [&str; 8] = ["image", "img", "rgb", "photo", "jpeg", "input", "color", "colour"];
const LABELS: [&str; 12] = [
    "label", "mask", "segm", "semseg", "anno", "depth", "normal", "edge", "disp", "bound",
    "target", "salien",
];
/// Words that count only as a whole: other words begin with them.
const WHOLE: [&str; 4] = ["gt", "seg", "sal", "parts"];
/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Photo,
    Png,
    /// Arrays of numbers.
    Array,
    Mat,
    /// Arrays by name.
    Hdf5,
    Safetensors,
}

/// One file by its parts.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Folders from the data set's on.
    pub(super) folders: Vec<String>,
    pub(super) stem: String,
    pub(super) ending: String,
}

/// Files that belong together.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) family: Family,
    /// Words that all names end with.
    pub(super) tail: String,
    /// Whether the first folder is a class.
    pub(super) class_folders: bool,
    pub(super) files: Vec<File>,
}

impl File {
    /// The folders but for that of the split.
    pub(super) fn plain(&self) -> impl Iterator<Item = &String> {
        let split = self.split_place();
        let folders = self.folders.iter().enumerate();
        folders.filter(move |(place, _)| Some(*place) != split).map(|(_, name)| name)
    }

    fn split_place(&self) -> Option<usize> {
        self.folders.iter().position(|name| SPLITS.contains(&name.to_ascii_lowercase().as_str()))
    }

    fn split(&self) -> Option<&String> {
        self.split_place().map(|place| &self.folders[place])
    }

    pub(super) fn path(&self) -> PathBuf {
        let folder: PathBuf = self.folders.iter().collect();
        folder.join(format!("{}.{}", self.stem, self.ending))
    }
}

impl Series {
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Up to `count` files at even distances.
    pub(super) fn samples(&self, count: usize) -> impl Iterator<Item = PathBuf> + '_ {
        let count = count.min(self.len());
        (0..count).map(move |k| self.files[k * self.len() / count].path())
    }

    /// Every id.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.files.iter().map(|file| self.id(file)).collect()
    }

    fn id(&self, file: &File) -> String {
        composed(file.stem.strip_suffix(&self.tail).unwrap_or(&file.stem))
    }

    /// Files by what they share with those of `images` in the same place.
    pub(super) fn by_key<'a>(
        &'a self,
        images: &Self,
    ) -> impl Iterator<Item = (String, PathBuf)> + use<'a> {
        let whole = self.splits() == images.splits();
        self.files.iter().map(move |file| (self.key(file, whole), file.path()))
    }

    /// What a file shares with its label or its image: its id, and with `whole` its folders but
    /// for the first.
    fn key(&self, file: &File, whole: bool) -> String {
        let folders = file.plain().skip(1).chain(file.split()).filter(|_| whole);
        let parts: Vec<&str> = folders.map(String::as_str).collect();
        format!("{}/{}", composed(&parts.join("/")), self.id(file))
    }

    /// Names of the splits that folders have.
    pub(super) fn splits(&self) -> BTreeSet<String> {
        self.files.iter().filter_map(File::split).cloned().collect()
    }

    /// Whether the files are TIFF, which holds photographs and numbers.
    pub(super) fn is_tiff(&self) -> bool {
        let tiff = |file: &File| file.ending.to_ascii_lowercase().starts_with("tif");
        self.files.iter().all(tiff)
    }

    /// Whether the format is one of photographs.
    pub(super) fn may_be_photographs(&self) -> bool {
        matches!(self.family, Family::Photo | Family::Png)
    }

    /// How much folder and names sound like photographs.
    pub(super) fn score(&self) -> i32 {
        let words = self.words();
        let has =
            |list: &[&str]| words.iter().any(|word| list.iter().any(|known| word.contains(known)));
        let whole = words.iter().any(|word| WHOLE.contains(&word.as_str()));
        let ending = if self.family == Family::Photo { 2 } else { 0 };
        let labels = has(&LABELS) || whole;
        ending + 4 * i32::from(has(&PHOTOGRAPHS)) - 4 * i32::from(labels)
    }

    /// Words of the first folder and behind the names, in lower case; `gtFine` is two.
    fn words(&self) -> Vec<String> {
        let root = self.files.first().and_then(|file| file.plain().next());
        let mut words = vec![String::new()];
        let mut before = ' ';
        for letter in
            root.map_or("", String::as_str).chars().chain(" ".chars()).chain(self.tail.chars())
        {
            if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
                words.push(String::new());
            }
            let word = words.last_mut().expect("starts with one word");
            word.extend(letter.to_lowercase().filter(|c| c.is_alphanumeric()));
            before = letter;
        }
        words
    }

    /// A name for the task, from the words behind the names or the first folder.
    pub(super) fn word(&self) -> Option<String> {
        let root = self.files.first().and_then(|file| file.plain().next());
        let source =
            if self.tail.is_empty() { root.map(String::as_str) } else { Some(&*self.tail) };
        word_of(source?)
    }

    /// Photographs whose first folder, or a deeper one that varies, is their class.
    pub(super) fn of_class_folders(all: &[Self]) -> Option<Self> {
        let suited = all.len() >= 2
            && all.iter().all(|s| {
                matches!(s.family, Family::Photo | Family::Png)
                    && s.score() <= 2
                    && s.files.iter().all(|file| file.plain().count() == 1)
            });
        let roots: BTreeSet<_> = all.iter().filter_map(|s| s.files[0].plain().next()).collect();
        let labelled = all.iter().any(|s| s.score() < 0);
        (suited && !labelled && roots.len() >= 2).then(|| Self {
            family: Family::Photo,
            tail: String::new(),
            class_folders: true,
            files: all.iter().flat_map(|s| s.files.clone()).collect(),
        })
    }

    /// The slot that stands for classes, if folders may be classes.
    pub(super) fn class_slot(&self) -> Option<&'static str> {
        let deeper = self.pattern().contains("{group}").then_some("{group}");
        if self.class_folders { Some("{class}") } else { deeper }
    }

    /// The pattern of the paths.
    pub(super) fn pattern(&self) -> String {
        self.pattern_with(&self.ending())
    }

    /// The pattern as labels of `images`, of which `{ext}` is the images' own, and the patterns of
    /// labels that end otherwise, in upper case for example.
    pub(super) fn label_patterns(&self, images: &Self) -> (String, Vec<String>) {
        if self.ending() != "{ext}" || images.ending() == "{ext}" && self.family == Family::Photo {
            return (self.pattern(), Vec::new());
        }
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        self.files.iter().for_each(|file| *counts.entry(&file.ending).or_default() += 1);
        let mut endings: Vec<&String> = counts.keys().copied().collect();
        endings.sort_by_key(|ending| std::cmp::Reverse(counts[ending]));
        let mut patterns = endings.into_iter().map(|ending| self.pattern_with(ending));
        (patterns.next().unwrap_or_default(), patterns.collect())
    }

    fn ending(&self) -> String {
        let endings: BTreeSet<&String> = self.files.iter().map(|file| &file.ending).collect();
        match endings.len() {
            1 => self.files[0].ending.clone(),
            _ => "{ext}".to_owned(),
        }
    }

    fn pattern_with(&self, ending: &str) -> String {
        let first = &self.files[0];
        let mut parts = Vec::new();
        for (place, name) in first.folders.iter().enumerate() {
            let constant = self.files.iter().all(|file| file.folders.get(place) == Some(name));
            let depth = parts.len();
            parts.push(match first.split_place() == Some(place) {
                true => "{split}".to_owned(),
                false if constant => name.clone(),
                false if self.class_folders => "{class}".to_owned(),
                false if parts.iter().any(|part| part == "{group}") => {
                    format!("{{group_{}}}", letters(depth))
                }
                false => "{group}".to_owned(),
            });
        }
        parts.push(format!("{{id}}{}.{ending}", self.tail));
        parts.join("/")
    }

    /// How many files have the name of an image.
    pub(super) fn shared_with(&self, images: &Self) -> usize {
        let known: BTreeSet<String> = images.by_key(self).map(|(key, _)| key).collect();
        self.by_key(images).filter(|(key, _)| known.contains(key)).count()
    }
}

/// A text as the name of a task.
pub(super) fn word_of(text: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let word: String = text.to_ascii_lowercase().chars().map(plain).collect();
    Some(word.trim_matches('_').to_owned()).filter(|word| !word.is_empty())
}

/// The first word of a path that is the name of a split: `train` of `instances_train2017.json`.
pub(super) fn split_in(path: &str) -> Option<String> {
    let mut words = path.split(|c: char| !c.is_ascii_alphabetic());
    words.find(|word| SPLITS.contains(&word.to_ascii_lowercase().as_str())).map(str::to_owned)
}

/// A name in the Unicode form that most keyboards write: both forms are one name.
fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Slots have names of letters alone.
fn letters(number: usize) -> char {
    char::from(b'a' + (number % 26) as u8)
}
