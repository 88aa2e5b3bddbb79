//! One batch, made on all threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::batch::{Batch, Blank, Place};
use super::config::LoaderConfig;
use super::pool::Pool;
use crate::{Dataset, Error, Key, Result, Sample, Transform};

/// What the threads of a loader share.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) config: Arc<LoaderConfig>,
    pub(super) transform: Arc<Transform>,
    pub(super) threads: Arc<ThreadPool>,
    pub(super) pool: Arc<Pool>,
}

impl Worker {
    /// Makes one batch; `None` if asked to stop.
    pub(super) fn batch(
        &self,
        indices: Vec<usize>,
        epoch: u64,
        stop: &AtomicBool,
    ) -> Option<Result<Batch>> {
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
        let mut batch = blank.filled(&rows, kept, good, self.dataset.tasks(), &self.config);
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
