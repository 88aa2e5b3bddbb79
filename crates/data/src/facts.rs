//! What a data set holds: numbers, sizes and ranges, and which of the known copies it is.

mod variant;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::folder::Manifest;
use crate::{Dataset, Error, FolderDataset, Histogram, Label, Result, Root, TaskSpec};

/// What reading a whole data set tells.
#[derive(Debug)]
pub struct Facts {
    /// The known copy that this is; `None` where the manifest knows copies and none fits.
    pub variant: Option<String>,
    /// Why each known copy is not this one, where none is.
    pub misfits: Vec<String>,
    /// Split by split.
    pub splits: Vec<SplitFacts>,
}

/// What one split holds.
#[derive(Debug, Default)]
pub struct SplitFacts {
    /// Name of the split.
    pub name: String,
    /// Number of images.
    pub images: usize,
    /// Number of images by height and width.
    pub sizes: BTreeMap<[usize; 2], usize>,
    /// What the labels of each task hold; tasks without a file are absent.
    pub tasks: Vec<TaskFacts>,
    /// Samples that cannot be read.
    pub unreadable: usize,
}

/// What the labels of one task hold.
#[derive(Debug)]
pub struct TaskFacts {
    /// The task.
    pub spec: TaskSpec,
    /// Number of images with a label.
    pub labels: usize,
    /// Labels whose stored size is not that of their image.
    pub resized: usize,
    /// Counts of values.
    pub histogram: Histogram,
    /// Smallest and largest distance in metres, where the task is depth.
    pub metres: Option<[f32; 2]>,
}

impl Facts {
    /// Reads what `manifest` describes and `root` holds, on all cores; tasks without any file are
    /// left out, so that part of an archive can be looked at.
    ///
    /// `progress` hears from many threads of the split in work, its samples read and their number.
    ///
    /// # Errors
    /// A manifest, list or folder that cannot be read; single samples are counted instead.
    pub fn of_folder(
        manifest: &Path,
        root: &Root,
        progress: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Self> {
        let description = Manifest::read(manifest)?;
        let (mut splits, mut datasets) = (Vec::new(), Vec::new());
        for split in description.splits.keys() {
            let dataset = open(manifest, root, split, &description)?;
            splits.push(SplitFacts::of(&dataset, split, progress));
            datasets.push(dataset);
        }
        let judged = variant::judge(&description.variants, root, &datasets, &splits);
        let (variant, misfits) = match judged {
            Ok(variant) => (variant, Vec::new()),
            Err(misfits) => (None, misfits),
        };
        Ok(Self { variant, misfits, splits })
    }
}

/// The split with all tasks that have a file.
fn open(
    manifest: &Path,
    root: &Root,
    split: &str,
    description: &Manifest,
) -> Result<FolderDataset> {
    let mut there = Vec::new();
    for task in &description.tasks {
        match FolderDataset::open_for(manifest, root, split, |name| name == task.name) {
            Ok(_) => there.push(task.name.as_str()),
            Err(Error::NoLabels { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    FolderDataset::open_for(manifest, root, split, |name| there.contains(&name))
}

impl SplitFacts {
    fn of(
        dataset: &FolderDataset,
        split: &str,
        progress: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Self {
        let (len, done) = (dataset.len(), AtomicUsize::new(0));
        let read = |index: usize| {
            let found = Self::of_sample(dataset, index);
            progress(split, done.fetch_add(1, Ordering::Relaxed) + 1, len);
            found
        };
        let mut all = (0..len).into_par_iter().map(read).reduce(Self::default, Self::merged);
        all.tasks.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
        Self { name: split.to_owned(), images: len, ..all }
    }

    fn of_sample(dataset: &FolderDataset, index: usize) -> Self {
        let Ok(sample) = dataset.get(index) else {
            return Self { unreadable: 1, ..Self::default() };
        };
        let size = [sample.image.dim().0, sample.image.dim().1];
        let task = |(name, label): (&String, &Label)| {
            let spec = dataset.tasks().iter().find(|spec| spec.name == *name)?.clone();
            let stored = dataset.stored_size(index, name).ok().flatten();
            let other = spec.is_dense() && stored.is_some_and(|stored| stored != size);
            let mut histogram = Histogram::default();
            histogram.add(label);
            let resized = usize::from(other);
            Some(TaskFacts { spec, labels: 1, resized, histogram, metres: metres(label) })
        };
        let tasks = sample.labels.iter().filter_map(task).collect();
        Self { sizes: BTreeMap::from([(size, 1)]), tasks, ..Self::default() }
    }

    fn merged(mut self, other: Self) -> Self {
        self.unreadable += other.unreadable;
        other.sizes.into_iter().for_each(|(size, n)| *self.sizes.entry(size).or_default() += n);
        for task in other.tasks {
            match self.tasks.iter_mut().find(|known| known.spec.name == task.spec.name) {
                Some(known) => known.merge(task),
                None => self.tasks.push(task),
            }
        }
        self
    }
}

impl TaskFacts {
    fn merge(&mut self, other: Self) {
        self.labels += other.labels;
        self.resized += other.resized;
        self.histogram.merge(&other.histogram);
        self.metres = match (self.metres, other.metres) {
            (Some([a, b]), Some([c, d])) => Some([a.min(c), b.max(d)]),
            (one, other) => one.or(other),
        };
    }
}

fn metres(label: &Label) -> Option<[f32; 2]> {
    let Label::Depth(map) = label else { return None };
    map.iter().filter(|&&v| v > 0.0).fold(None, |range, &v| {
        let [low, high] = range.unwrap_or([v; 2]);
        Some([low.min(v), high.max(v)])
    })
}
