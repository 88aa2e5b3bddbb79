//! The labels of one task over the images of a split.

use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::entry::TaskEntry;
use super::format::{FileFormat, Format};
use super::images::{Images, Stack};
use super::pattern::{Pattern, Slots};
use super::site::Site;
use crate::decode::{damaged, read_idx_labels};
use crate::{Error, Label, Result, TaskSpec};

/// Where the labels are.
#[derive(Debug)]
pub(crate) enum Labels {
    /// One class for each image, known from names and lists before any image is read.
    Known(Vec<u32>),
    /// One file for each image that has a label.
    Files { root: PathBuf, entry: TaskEntry, format: FileFormat, pattern: Pattern },
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
        let known = |keys: &mut dyn Iterator<Item = String>| {
            let class = |(key, slots): (String, &Slots)| {
                let wrong = |fault: crate::check::Fault| fault.of(&images.title(slots), &task.name);
                classes.index(&key).map_err(wrong)
            };
            keys.zip(items).map(class).collect::<Result<_>>().map(Self::Known)
        };
        match (&task.format, images) {
            (Format::File(format), _) => {
                let (root, entry, format) = (site.root.to_owned(), task.clone(), format.clone());
                Ok(Self::Files { root, entry, format, pattern })
            }
            (Format::Idx, Images::Stack(stack)) => {
                let path = site.root.join(pattern.expand(&items[0]));
                let numbers = numbers(&path, stack)?;
                known(&mut stack.rows.iter().map(|&row| numbers[row].to_string()))
            }
            _ => known(&mut items.iter().map(|slots| pattern.expand(slots))),
        }
    }

    /// The label of image `index`, whose slots are `slots` and whose size is `[height, width]`.
    pub(crate) fn get(
        &self,
        index: usize,
        slots: &Slots,
        task: &TaskSpec,
        size: [usize; 2],
    ) -> Result<Option<Label>> {
        let (root, entry, format, pattern) = match self {
            Self::Known(classes) => return Ok(Some(Label::Category(classes[index]))),
            Self::Files { root, entry, format, pattern } => (root, entry, format, pattern),
        };
        let path = root.join(pattern.expand(slots));
        if !path.exists() {
            return Ok(None);
        }
        let label = entry.label(format.read(&path)?).and_then(|label| match label {
            Some(label) => {
                label.check(task, size)?;
                entry.unless_void(label)
            }
            None => Ok(None),
        });
        label.map_err(|fault| fault.of(&path.display().to_string(), &entry.name))
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
            Self::Files { root, pattern, .. } => {
                let mut paths = items.iter().map(|slots| root.join(pattern.expand(slots)));
                if paths.any(|path| path.is_file()) {
                    return Ok(());
                }
                let first = root.join(pattern.expand(&items[0]));
                Err(Error::NoLabels { dataset, split, task: task.name.clone(), first })
            }
            Self::Known(classes) if split.starts_with("train") => {
                let missing = missing(classes, &task.classes);
                let task = task.name.clone();
                let absent =
                    Error::AbsentClasses { dataset, split, task, classes: missing.clone() };
                missing.is_empty().then_some(()).ok_or(absent)
            }
            Self::Known(_) => Ok(()),
        }
    }
}

/// The numbers of the classes of all images of a file.
fn numbers(path: &Path, images: &Stack) -> Result<Vec<u8>> {
    let numbers = read_idx_labels(path)?;
    let fits = numbers.len() == images.total;
    let expected = format!(
        "{} labels, expected {}, one for each image of {}",
        numbers.len(),
        images.total,
        images.path.display()
    );
    fits.then_some(numbers).ok_or_else(|| damaged(path, "idx file", expected))
}

/// Names of the classes that no image has.
fn missing(classes: &[u32], names: &[String]) -> Vec<String> {
    let mut seen = vec![false; names.len()];
    classes.iter().for_each(|&class| seen[class as usize] = true);
    names.iter().zip(seen).filter(|(_, seen)| !seen).map(|(name, _)| name.clone()).collect()
}
