//! What one split holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::{Dataset, FolderDataset, Histogram, Label, TaskSpec};

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

impl SplitFacts {
    pub(super) fn of(
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
