//! A sign of life of every rank: a count in the store that rises while its process runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use polyptych_kernels::KeyStore;

/// Time between two signs of life.
const PAUSE: Duration = Duration::from_millis(500);

/// The thread that gives signs of life until it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    store_is_gone: Arc<AtomicBool>,
}

impl Heartbeat {
    /// Gives signs of life of `rank` in `store`, a connection of its own.
    ///
    /// # Errors
    /// A system that gives no thread.
    pub(crate) fn start(store: KeyStore, rank: usize) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let store_is_gone = Arc::new(AtomicBool::new(false));
        let gone = store_is_gone.clone();
        let beat = move || {
            while store.add(&key(rank), 1).is_ok() {
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
            gone.store(true, Ordering::Relaxed);
        };
        let thread = std::thread::Builder::new().name("heartbeat".into()).spawn(beat)?;
        Ok(Self { stop: Some(stop), thread: Some(thread), store_is_gone })
    }

    /// Whether the store took no sign of life any more.
    pub(crate) fn store_is_gone(&self) -> bool {
        self.store_is_gone.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and there is nothing left to say.
            let _ = thread.join();
        }
    }
}

/// The count of `rank`; none where the store is gone.
pub(crate) fn count(store: &KeyStore, rank: usize) -> Option<i64> {
    store.add(&key(rank), 0).ok()
}

fn key(rank: usize) -> String {
    format!("beat/{rank}")
}
