//! Decoded samples kept in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{Dataset, DatasetRecord, Error, Label, Origin, Result, Sample, TaskSpec};

/// A data set that keeps what it has read until its memory is full.
///
/// Nothing is dropped again: a pass over the data uses every sample once, so whatever is dropped
/// to make room is what the next pass would have needed first.
pub struct Cached {
    dataset: Arc<dyn Dataset>,
    slots: Vec<OnceLock<Sample>>,
    /// Bytes that are still free.
    free: AtomicUsize,
}

impl Cached {
    /// Keeps at most `max_bytes` of images and maps.
    pub fn new(dataset: Arc<dyn Dataset>, max_bytes: usize) -> Self {
        let slots = (0..dataset.len()).map(|_| OnceLock::new()).collect();
        Self { dataset, slots, free: AtomicUsize::new(max_bytes) }
    }

    /// Takes memory for a sample if there is enough.
    fn reserve(&self, bytes: usize) -> bool {
        let take = |free: usize| free.checked_sub(bytes);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Dataset for Cached {
    fn name(&self) -> &str {
        self.dataset.name()
    }

    fn len(&self) -> usize {
        self.slots.len()
    }

    fn tasks(&self) -> &[TaskSpec] {
        self.dataset.tasks()
    }

    fn parts(&self) -> Vec<usize> {
        self.dataset.parts()
    }

    fn shards(&self) -> Vec<usize> {
        self.dataset.shards()
    }

    fn records(&self) -> Vec<DatasetRecord> {
        self.dataset.records()
    }

    fn origin(&self, index: usize) -> Option<Origin<'_>> {
        self.dataset.origin(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let slot = &self.slots[index];
        if let Some(sample) = slot.get() {
            return Ok(sample.clone());
        }
        let sample = self.dataset.get(index)?;
        let bytes = size(&sample);
        // Another thread may have read the same sample meanwhile; its memory is given back.
        if self.reserve(bytes) && slot.set(sample.clone()).is_err() {
            self.free.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(sample)
    }

    fn problems(&self, index: usize) -> Vec<Error> {
        self.dataset.problems(index)
    }
}

/// Bytes of a sample's arrays.
fn size(sample: &Sample) -> usize {
    let labels: usize = sample.labels.values().map(label_size).sum();
    sample.image.len() + labels
}

fn label_size(label: &Label) -> usize {
    match label {
        Label::Classes(map) | Label::Binary(map) => map.len(),
        Label::Edges(maps) => maps.iter().map(|map| map.len()).sum(),
        Label::Normals(map) => 4 * map.len(),
        Label::Depth(map) => 4 * map.len(),
        Label::Category(_) => 4,
        Label::Tags(flags) => flags.len(),
        Label::Caption(text) => text.len(),
        Label::Modified { text, image } => text.len() + image.len(),
    }
}
