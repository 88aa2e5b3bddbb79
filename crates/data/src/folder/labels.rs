//! The labels of one task over the images of a split.

use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::entry::TaskEntry;
use super::format::{FileFormat, Format};
use super::images::{Images, Stack};
use super::pattern::{Pattern, Slots};
use super::root::Root;
use super::site::Site;
use crate::decode::{damaged, read_idx_labels};
use crate::{Error, Label, Result, TaskSpec};

/// Where the labels are.
#[derive(Debug)]
pub(crate) enum Labels {
    /// One class for each image, known from names and lists before any image is read.
    Known(Vec<u32>),
    /// One file for each image that has a label.
    Files(Box<LabelFiles>),
}

/// Label files of one task.
#[derive(Debug)]
pub(crate) struct LabelFiles {
    root: Root,
    entry: TaskEntry,
    format: FileFormat,
    pattern: Pattern,
}

impl Labels {
    /// The labels of `task` for the images whose slots are `items`.
    pub(crate) fn open(
        task: &TaskEntry,
        site: &Site,
        classes: &Classes,
        (images, items): (&Images, &[Slots]),
    ) -> Result<Self> {
        let pattern = site.label_pattern(task)?;
        let known = |source: Option<PathBuf>, keys: &mut dyn Iterator<Item = String>| {
            let place = |slots: &Slots| match &source {
                Some(path) => format!("{}: {}", path.display(), images.title(slots)),
                None => images.title(slots),
            };
            let class = |(key, slots): (String, &Slots)| {
                classes.index(&key).map_err(|fault| fault.of(&place(slots), &task.name))
            };
            keys.zip(items).map(class).collect::<Result<_>>().map(Self::Known)
        };
        match (&task.format, images) {
            (Format::File(format), _) => {
                let (root, entry, format) = (site.root.clone(), task.clone(), format.clone());
                Ok(Self::Files(Box::new(LabelFiles { root, entry, format, pattern })))
            }
            (Format::Idx, Images::Stack(stack)) => {
                let path = site.root.file(pattern.expand(&items[0]))?;
                let numbers = numbers(&path, stack)?;
                known(Some(path), &mut stack.rows.iter().map(|&row| numbers[row].to_string()))
            }
            _ => {
                let table = pattern.slots().find_map(|slot| site.tables.get(slot));
                let table = table.map(|file| site.root.path().join(file));
                known(table, &mut items.iter().map(|slots| pattern.expand(slots)))
            }
        }
    }

    /// The label of image `index`, whose slots are `slots` and whose size is `[height, width]`;
    /// without a size, of an image that cannot be read, sizes are not compared.
    pub(crate) fn get(
        &self,
        index: usize,
        slots: &Slots,
        task: &TaskSpec,
        size: Option<[usize; 2]>,
    ) -> Result<Option<Label>> {
        match self {
            Self::Known(classes) => Ok(Some(Label::Category(classes[index]))),
            Self::Files(files) => files.get(slots, task, size),
        }
    }

    /// Refuses a pattern that fits no file: more likely a slip than a data set without labels.
    /// Every class needs an image to learn from.
    pub(crate) fn require(
        &self,
        dataset: &str,
        split: &str,
        task: &TaskSpec,
        items: &[Slots],
    ) -> Result<()> {
        let (dataset, split) = (dataset.to_owned(), split.to_owned());
        match self {
            Self::Files(files) => {
                let mut paths = items.iter().map(|slots| files.path(slots));
                let (task, first) = (task.name.clone(), files.path(&items[0]));
                let none = Error::NoLabels { dataset, split, task, first };
                paths.any(|path| path.is_file()).then_some(()).ok_or(none)
            }
            Self::Known(classes) if split.starts_with("train") => {
                let (missing, task) = (missing(classes, &task.classes), task.name.clone());
                if missing.is_empty() {
                    return Ok(());
                }
                Err(Error::AbsentClasses { dataset, split, task, classes: missing })
            }
            Self::Known(_) => Ok(()),
        }
    }
}

impl LabelFiles {
    fn path(&self, slots: &Slots) -> PathBuf {
        self.root.path().join(self.pattern.expand(slots))
    }

    fn get(
        &self,
        slots: &Slots,
        task: &TaskSpec,
        size: Option<[usize; 2]>,
    ) -> Result<Option<Label>> {
        let path = self.path(slots);
        if !path.exists() {
            return Ok(None);
        }
        let path = self.root.file(self.pattern.expand(slots))?;
        let label = self.entry.label(self.format.read(&path)?).and_then(|label| match label {
            Some(label) => {
                label.check(task, size.unwrap_or_else(|| label.size()))?;
                self.entry.unless_void(label)
            }
            None => Ok(None),
        });
        label.map_err(|fault| fault.of(&path.display().to_string(), &self.entry.name))
    }
}

/// The numbers of the classes of all images of a file.
fn numbers(path: &Path, images: &Stack) -> Result<Vec<u8>> {
    let numbers = read_idx_labels(path)?;
    let fits = numbers.len() == images.total;
    let reason = format!(
        "{} labels, expected {}, one for each image of {}",
        numbers.len(),
        images.total,
        images.path.display()
    );
    fits.then_some(numbers).ok_or_else(|| damaged(path, "idx file", reason))
}

/// Names of the classes that no image has.
fn missing(classes: &[u32], names: &[String]) -> Vec<String> {
    let mut seen = vec![false; names.len()];
    classes.iter().for_each(|&class| seen[class as usize] = true);
    names.iter().zip(seen).filter(|(_, seen)| !seen).map(|(name, _)| name.clone()).collect()
}
