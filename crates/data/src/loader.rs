//! Batches in a fixed order, decoded and augmented on all cores.
//!
//! Order and augmentation depend on seed, epoch and index alone, so neither the number of threads
//! nor a restart in the middle of an epoch changes a byte.

mod batch;
mod config;
mod epoch;
mod order;
mod pool;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::batch::{Blank, Place};
use self::pool::Pool;
use crate::{Dataset, Error, Key, Result, Sample, Transform};

pub use self::batch::Batch;
pub use self::config::{LoaderConfig, OnBadSample, Sampling};
pub use self::epoch::Epoch;

/// Makes batches of a data set.
#[derive(Clone)]
pub struct Loader {
    worker: Worker,
}

/// What the threads of a loader share.
#[derive(Clone)]
pub(crate) struct Worker {
    dataset: Arc<dyn Dataset>,
    config: Arc<LoaderConfig>,
    transform: Arc<Transform>,
    threads: Arc<ThreadPool>,
    pool: Arc<Pool>,
}

impl Loader {
    /// A loader over a data set with at least one sample.
    ///
    /// # Errors
    /// [`Error::Config`] for a wrong field, [`Error::EmptySplit`] for an empty data set and
    /// [`Error::Threads`] if threads cannot start.
    pub fn new(dataset: Arc<dyn Dataset>, config: LoaderConfig) -> Result<Self> {
        config.validate()?;
        if dataset.is_empty() {
            let name = dataset.name().to_owned();
            let (split, reason) = ("all".to_owned(), String::new());
            return Err(Error::EmptySplit { dataset: name, split, reason });
        }
        // The colour outside a turned image is the one that normalises to zero.
        let fill = config.mean.map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8);
        let transform = Transform::new(config.img_size, fill, config.augment.clone())?;
        let threads = ThreadPoolBuilder::new().num_threads(config.threads.unwrap_or(0)).build();
        let threads = threads.map_err(|source| Error::Threads { reason: source.to_string() })?;
        let (config, transform) = (Arc::new(config), Arc::new(transform));
        let (threads, pool) = (Arc::new(threads), Arc::default());
        Ok(Self { worker: Worker { dataset, config, transform, threads, pool } })
    }

    /// The same samples in another order and with other augmentation, on the same threads.
    pub fn reseeded(&self, seed: u64) -> Self {
        let config = Arc::new(LoaderConfig { seed, ..(*self.worker.config).clone() });
        Self { worker: Worker { config, ..self.worker.clone() } }
    }

    /// Batches of an epoch.
    pub fn num_batches(&self) -> usize {
        order::count(self.worker.dataset.len(), &self.worker.config)
    }

    /// The data set that is read.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.worker.dataset
    }

    /// How batches are made.
    pub fn config(&self) -> &LoaderConfig {
        &self.worker.config
    }

    /// The batches of epoch `epoch` from batch `first_batch` on, which is how a run goes on in
    /// the middle of an epoch.
    ///
    /// # Errors
    /// [`Error::Threads`] if the background thread cannot start; errors of samples come out of
    /// the iterator, which then ends.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Result<Epoch> {
        let parts = self.worker.dataset.parts();
        let mut batches = order::batches(&parts, &self.worker.config, epoch);
        batches.drain(..first_batch.min(batches.len()));
        Epoch::start(self.worker.clone(), batches, epoch)
    }
}

impl Worker {
    /// Makes one batch; `None` if asked to stop.
    fn batch(&self, indices: Vec<usize>, epoch: u64, stop: &AtomicBool) -> Option<Result<Batch>> {
        let tasks = self.dataset.tasks();
        let mut blank = Batch::blank(indices.len(), tasks, &self.config, &self.pool);
        let one = |(&index, place): (&usize, Place)| {
            (!stop.load(Ordering::Relaxed)).then(|| self.guarded(index, epoch, place))
        };
        let work = indices.par_iter().zip(blank.places());
        let parts: Option<Vec<Result<Sample>>> = self.threads.install(|| work.map(one).collect());
        Some(self.gather(blank, indices, parts?))
    }

    /// In order, so that of several errors the same one is always reported.
    fn gather(
        &self,
        blank: Blank,
        indices: Vec<usize>,
        parts: Vec<Result<Sample>>,
    ) -> Result<Batch> {
        let skip = !self.config.on_bad_sample.is_stop();
        let (mut rows, mut good, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (row, part) in parts.into_iter().enumerate() {
            match part {
                Ok(sample) => {
                    rows.push(row);
                    good.push(sample);
                }
                Err(error) if skip && error.is_of_a_sample() => skipped.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(first)) = (good.is_empty(), skipped.first()) {
            let (dataset, count) = (self.dataset.name().to_owned(), skipped.len());
            return Err(Error::BadBatch { dataset, count, first: first.clone() });
        }
        let kept = rows.iter().map(|&row| indices[row]).collect();
        let mut batch = blank.filled(&rows, kept, good, self.dataset.tasks());
        batch.skipped = skipped;
        Ok(batch)
    }

    fn guarded(&self, index: usize, epoch: u64, place: Place) -> Result<Sample> {
        guarded(&*self.dataset, index, || self.prepare(index, epoch, place))?
    }

    /// Writes a transformed sample to its place in the batch.
    fn prepare(&self, index: usize, epoch: u64, place: Place) -> Result<Sample> {
        let sample = self.dataset.get(index)?;
        let tasks = self.dataset.tasks();
        sample.check(tasks)?;
        let key = Key { seed: self.config.seed, epoch, index: index as u64 };
        let sample = self.transform.apply(&sample, tasks, key);
        place.fill(&sample, tasks, &self.config);
        Ok(sample)
    }
}

/// What `work` on a sample gives; a panic becomes an error that names the sample.
pub(crate) fn guarded<T>(
    dataset: &dyn Dataset,
    index: usize,
    work: impl FnOnce() -> T,
) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let dataset = dataset.name().to_owned();
        Error::Panic { dataset, index, reason: said(panic.as_ref()) }
    })
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests;
