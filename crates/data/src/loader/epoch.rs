//! One pass over the data: a background thread that prefetches a few batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::batch::Batch;
use super::worker::Worker;
use crate::{Error, Result};

/// Batches of one epoch, or of several, in order; ends after the first error.
///
/// Dropping it early stops the background thread and waits until the samples in work are done.
#[derive(Debug)]
pub struct Epoch {
    /// Absent once the epoch is being dropped.
    receiver: Option<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Epoch {
    /// Makes `batches`, the epoch and the indices of each, one behind the other.
    pub(crate) fn start(
        worker: Worker,
        batches: impl Iterator<Item = (u64, Vec<usize>)> + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = sync_channel(worker.config.prefetch);
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("loader".to_owned());
        let thread = thread.spawn(move || produce(&worker, batches, &sender, &asked));
        let thread = thread.map_err(|source| Error::Threads { reason: source.to_string() })?;
        Ok(Self { receiver: Some(receiver), stop, thread: Some(thread) })
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits to hand a batch over wakes up when nobody can take it.
        drop(self.receiver.take());
        if let Some(thread) = self.thread.take() {
            // It catches the panics of data sets itself; there is nothing left to report here.
            let _ = thread.join();
        }
    }
}

fn produce(
    worker: &Worker,
    batches: impl Iterator<Item = (u64, Vec<usize>)>,
    sender: &SyncSender<Result<Batch>>,
    stop: &AtomicBool,
) {
    for (epoch, indices) in batches {
        let Some(batch) = worker.batch(indices, epoch, stop) else { return };
        let last = batch.is_err();
        if sender.send(batch).is_err() || last {
            return;
        }
    }
}
