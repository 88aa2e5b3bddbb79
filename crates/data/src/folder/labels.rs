//! The labels of one task over the images of a split.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::classes::Classes;
use super::entry::TaskEntry;
use super::fitted::fitted;
use super::format::{FileFormat, Format};
use super::images::{Images, Stack};
use super::index_file::{IndexRequest, SplitLabels};
use super::masked::masked;
use super::part_labels::PartLabels;
use super::pattern::{Pattern, Slots};
use super::picture::Frame;
use super::raw::Raw;
use super::root::Root;
use super::similar_names::SimilarNames;
use super::split_context::SplitContext;
use crate::decode::{damaged, read_idx_labels};
use crate::{Error, Label, Result, TaskSpec};

/// Where the labels are.
#[derive(Debug)]
pub(crate) enum Labels {
    /// One class for each image, known from names and lists before any image is read.
    Known(Vec<u32>),
    /// One file for each image that has a label.
    Files(Box<LabelFiles>),
    /// One file for all images of the split.
    Indexed(Box<IndexedLabels>),
}

/// Labels of one file, and how they become those of a task.
#[derive(Debug)]
pub(crate) struct IndexedLabels {
    entry: TaskEntry,
    labels: Box<dyn SplitLabels>,
}

/// Label files of one task.
#[derive(Debug)]
pub(crate) struct LabelFiles {
    root: Root,
    /// The task as each place is read, looked at in this order.
    places: Vec<(TaskEntry, FilePlace)>,
    /// Which pixels count, and the values that say so.
    mask: Option<(FilePlace, HashSet<i64>)>,
}

/// Files of one format.
#[derive(Debug)]
struct FilePlace {
    format: FileFormat,
    pattern: Pattern,
}

impl Labels {
    /// The labels of `task` for the images whose slots are `items`.
    pub(crate) fn open(
        task: &TaskEntry,
        context: &SplitContext,
        classes: &Classes,
        (images, items): (&Images, &[Slots]),
    ) -> Result<Self> {
        let pattern = context.label_pattern(&task.name, &task.label)?;
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
            (Format::File(_), Images::Packed(packed)) => {
                let (records, rows) = (&packed.records, &packed.rows);
                let labels = PartLabels::open(&context.origin, task, records, rows)?;
                let labels = Box::new(labels);
                Ok(Self::Indexed(Box::new(IndexedLabels { entry: task.clone(), labels })))
            }
            (Format::File(_), _) => Ok(Self::Files(Box::new(LabelFiles::open(task, context)?))),
            (Format::Indexed(format), Images::Files { pattern: images, .. }) => {
                let labels = (format.open)(IndexRequest {
                    origin: &context.origin,
                    task: &task.name,
                    kind: task.kind,
                    classes: task.classes.names(),
                    categories: task.categories.as_ref(),
                    map_others: task.map_others,
                    path: context.root.file(pattern.expand(&items[0]))?,
                    images: items.iter().map(|slots| images.expand(slots)).collect(),
                })?;
                Ok(Self::Indexed(Box::new(IndexedLabels { entry: task.clone(), labels })))
            }
            (Format::Idx, Images::Stack(stack)) => {
                let path = context.root.file(pattern.expand(&items[0]))?;
                let numbers = numbers(&path, stack)?;
                known(Some(path), &mut stack.rows.iter().map(|&row| numbers[row].to_string()))
            }
            _ => {
                let table = pattern.slots().find_map(|slot| context.tables.get(slot));
                let table = table.map(|file| context.root.path().join(file));
                known(table, &mut items.iter().map(|slots| pattern.expand(slots)))
            }
        }
    }

    /// The label of image `index`, whose slots are `slots` and whose frame is `frame`; without
    /// one, of an image that cannot be read, sizes are not compared.
    pub(crate) fn get(
        &self,
        index: usize,
        slots: &Slots,
        task: &TaskSpec,
        frame: Option<&Frame>,
    ) -> Result<Option<Label>> {
        match self {
            Self::Known(classes) => Ok(Some(Label::Category(classes[index]))),
            Self::Files(files) => files.get(slots, task, frame),
            Self::Indexed(indexed) => indexed.get(index, task, frame),
        }
    }

    /// `[height, width]` of the label of image `index` as stored.
    pub(crate) fn stored_size(
        &self,
        index: usize,
        slots: &Slots,
        task: &TaskSpec,
    ) -> Result<Option<[usize; 2]>> {
        Ok(self.get(index, slots, task, None)?.map(|label| label.size()))
    }

    /// Polygons of image `index` that are skipped.
    pub(crate) fn skipped(&self, index: usize) -> usize {
        match self {
            Self::Known(_) | Self::Files(_) => 0,
            Self::Indexed(indexed) => indexed.labels.skipped(index),
        }
    }

    /// The label files; none of classes that names tell.
    pub(crate) fn files(&self) -> Option<&LabelFiles> {
        match self {
            Self::Known(_) | Self::Indexed(_) => None,
            Self::Files(files) => Some(files),
        }
    }

    /// Refuses a pattern that fits no file: more likely a slip than a data set without labels.
    /// Every class needs an image to learn from.
    pub(crate) fn require(
        &self,
        dataset: &str,
        split: &str,
        task: &TaskSpec,
        (images, items): (&Images, &[Slots]),
    ) -> Result<()> {
        let images = items.iter().enumerate().map(|(index, slots)| images.path(index, slots));
        let (dataset, split) = (dataset.to_owned(), split.to_owned());
        match self {
            Self::Files(files) => {
                if items.iter().any(|slots| files.has(slots)) {
                    return Ok(());
                }
                let (task, first) = (task.name.clone(), files.first(&items[0]));
                let near = SimilarNames::new(images.collect());
                let near = { near }.find(files.root.path(), &files.first_name(&items[0]));
                Err(Error::NoLabels { dataset, split, task, first, near })
            }
            Self::Known(classes) if split.starts_with("train") => {
                let (missing, task) = (missing(classes, &task.classes), task.name.clone());
                if missing.is_empty() {
                    return Ok(());
                }
                Err(Error::AbsentClasses { dataset, split, task, classes: missing })
            }
            // The format refuses a file without any of the images.
            Self::Indexed(_) | Self::Known(_) => Ok(()),
        }
    }
}

impl LabelFiles {
    fn open(task: &TaskEntry, context: &SplitContext) -> Result<Self> {
        let place = |label: &str, format: &Format| {
            let Format::File(format) = format else { return Ok(None) };
            let pattern = context.label_pattern(&task.name, label)?;
            Ok(Some(FilePlace { format: format.clone(), pattern }))
        };
        let places = task.places().filter_map(|entry| {
            let place = place(&entry.label, &entry.format).transpose()?;
            Some(place.map(|place| (entry, place)))
        });
        let places = places.collect::<Result<_>>()?;
        let mask = task.mask.as_ref().and_then(|mask| {
            let place = place(&mask.label, &mask.format).transpose()?;
            Some(place.map(|place| (place, mask.values.iter().copied().collect())))
        });
        Ok(Self { root: context.root.clone(), places, mask: mask.transpose()? })
    }

    /// Where the label is first looked for.
    pub(crate) fn first(&self, slots: &Slots) -> PathBuf {
        self.path(&self.places[0].1, slots)
    }

    /// The same, below the data set's folder.
    pub(crate) fn first_name(&self, slots: &Slots) -> String {
        self.places[0].1.pattern.expand(slots)
    }

    /// Wherever the label may be.
    pub(crate) fn paths(&self, slots: &Slots) -> Vec<PathBuf> {
        let mask = self.mask.iter().map(|(place, _)| place);
        let places = self.places.iter().map(|(_, place)| place);
        places.chain(mask).map(|place| self.path(place, slots)).collect()
    }

    /// Whether there is a file.
    pub(crate) fn has(&self, slots: &Slots) -> bool {
        self.find(slots).is_some()
    }

    fn path(&self, place: &FilePlace, slots: &Slots) -> PathBuf {
        self.root.find(place.pattern.expand(slots))
    }

    /// The first place with a file.
    fn find(&self, slots: &Slots) -> Option<&(TaskEntry, FilePlace)> {
        self.places.iter().find(|(_, place)| self.path(place, slots).exists())
    }

    fn get(&self, slots: &Slots, task: &TaskSpec, frame: Option<&Frame>) -> Result<Option<Label>> {
        let Some((entry, place)) = self.find(slots) else { return Ok(None) };
        let path = self.root.file(place.pattern.expand(slots))?;
        let raw = place.format.read(&path)?;
        let mask = self.mask.as_ref().map(|mask| self.read_mask(mask, slots)).transpose()?;
        let label = entry.label(raw).and_then(|label| {
            let Some(label) = label else { return Ok(None) };
            let label = match (&mask, &self.mask) {
                (Some(map), Some((_, values))) => masked(label, map, values),
                _ => label,
            };
            entry.unless_void(fitted(entry, label, task, frame)?)
        });
        label.map_err(|fault| fault.of(&path.display().to_string(), &entry.name))
    }

    fn read_mask(
        &self,
        (place, _): &(FilePlace, HashSet<i64>),
        slots: &Slots,
    ) -> Result<Array2<f64>> {
        let path = self.root.file(place.pattern.expand(slots))?;
        match place.format.read(&path)? {
            Raw::Grid(map) => Ok(map),
            Raw::Bytes(map) => Ok(map.mapv(f64::from)),
            _ => Err(damaged(&path, "mask", "several numbers per pixel, expected 1")),
        }
    }
}

impl IndexedLabels {
    fn get(&self, index: usize, task: &TaskSpec, frame: Option<&Frame>) -> Result<Option<Label>> {
        let Some(label) = self.labels.label(index)? else { return Ok(None) };
        let label = fitted(&self.entry, label, task, frame);
        label.map(Some).map_err(|fault| fault.of(&self.labels.place(index), &self.entry.name))
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
