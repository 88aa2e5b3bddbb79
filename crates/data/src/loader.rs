//! Batches in a fixed order, decoded and augmented on all cores.
//!
//! Order and augmentation depend on seed, epoch and index alone, so neither the number of threads
//! nor a restart in the middle of an epoch changes a byte.

mod batch;
mod config;
mod epoch;
mod order;
mod pool;
mod shards;
mod worker;

use std::sync::Arc;

use rayon::ThreadPoolBuilder;

use self::worker::Worker;
use crate::{Dataset, Error, Result, Transform};

pub use self::batch::Batch;
pub use self::config::{LoaderConfig, OnBadSample, Sampling};
pub use self::epoch::Epoch;
pub(crate) use self::worker::guarded;

/// Makes batches of a data set.
#[derive(Clone)]
pub struct Loader {
    worker: Worker,
    part: Part,
}

/// Which part of every epoch a loader gives.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// All of it.
    Whole,
    /// The `index`-th of `count` parts of every batch.
    OfBatches { index: usize, count: usize },
    /// Every `count`-th batch from the `index`-th on.
    Batches { index: usize, count: usize },
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
        let worker = Worker { dataset, config, transform, threads, pool };
        Ok(Self { worker, part: Part::Whole })
    }

    /// The same samples in another order and with other augmentation, on the same threads.
    pub fn reseeded(&self, seed: u64) -> Self {
        let config = Arc::new(LoaderConfig { seed, ..(*self.worker.config).clone() });
        Self { worker: Worker { config, ..self.worker.clone() }, part: self.part }
    }

    /// The same batches, of which it gives the `index`-th of `count` parts: parts are as long as
    /// each other or one sample longer, and stand behind each other in the batch. Samples are
    /// changed at random as in the whole batch.
    pub fn part_of_batches(&self, index: usize, count: usize) -> Self {
        Self { part: Part::OfBatches { index, count }, ..self.clone() }
    }

    /// The same batches, of which it gives every `count`-th from the `index`-th on.
    pub fn some_batches(&self, index: usize, count: usize) -> Self {
        Self { part: Part::Batches { index, count }, ..self.clone() }
    }

    /// The same batches, made on `threads` threads of its own.
    ///
    /// # Errors
    /// [`Error::Threads`] if threads cannot start.
    pub fn with_threads(&self, threads: usize) -> Result<Self> {
        let threads = ThreadPoolBuilder::new().num_threads(threads).build();
        let threads = threads.map_err(|source| Error::Threads { reason: source.to_string() })?;
        let worker = Worker { threads: Arc::new(threads), ..self.worker.clone() };
        Ok(Self { worker, part: self.part })
    }

    /// Batches of an epoch, of all parts.
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

    /// Indices of every batch of an epoch.
    fn batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let Worker { dataset, config, .. } = &self.worker;
        let parts = match config.sampling {
            Sampling::Shards => dataset.shards(),
            Sampling::Union | Sampling::PerDataset => dataset.parts(),
        };
        order::batches(&parts, config, epoch)
    }

    /// The batches of epoch `epoch` from batch `first_batch` on, which is how a run goes on in
    /// the middle of an epoch.
    ///
    /// # Errors
    /// [`Error::Threads`] if the background thread cannot start; errors of samples come out of
    /// the iterator, which then ends.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Result<Epoch> {
        Epoch::start(self.worker.clone(), self.of_epoch(epoch, first_batch))
    }

    /// `count` batches from batch `first_batch` of epoch `epoch` on, through as many epochs as that
    /// takes: those of [`Loader::epoch`] one behind the other, but the next epoch is read while
    /// the last batches of one are used.
    ///
    /// # Errors
    /// As [`Loader::epoch`].
    pub fn epochs(&self, epoch: u64, first_batch: usize, count: u64) -> Result<Epoch> {
        let loader = self.clone();
        // Epochs without a batch would be gone through without an end.
        let count = if loader.num_batches() == 0 { 0 } else { count };
        let all = (epoch..)
            .flat_map(move |now| loader.of_epoch(now, if now == epoch { first_batch } else { 0 }));
        let counted = (0..count).zip(all).map(|(_, batch)| batch);
        Epoch::start(self.worker.clone(), counted)
    }

    /// Epoch and indices of every batch of its part from batch `first` of the epoch on.
    fn of_epoch(
        &self,
        epoch: u64,
        first: usize,
    ) -> impl Iterator<Item = (u64, Vec<usize>)> + Send + use<> {
        let mut batches = self.batches(epoch);
        batches.drain(..first.min(batches.len()));
        self.part.of(batches).into_iter().map(move |indices| (epoch, indices))
    }
}

impl Part {
    fn of(self, batches: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
        match self {
            Self::Whole => batches,
            Self::OfBatches { index, count } => {
                let part = |batch: Vec<usize>| {
                    let at = |index: usize| batch.len() * index / count;
                    batch[at(index)..at(index + 1)].to_vec()
                };
                batches.into_iter().map(part).collect()
            }
            Self::Batches { index, count } => {
                batches.into_iter().skip(index).step_by(count).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
