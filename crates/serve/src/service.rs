//! The model that is served now, and how another takes its place while requests go on.
//!
//! A new model is opened on a thread of its own beside the one at work. Once it is open it takes
//! all later batches, and the old one ends behind the batch that it computes. So no request waits
//! for a model to be read, and for that time both are in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::answer::Answer;
use crate::measures::Measures;
use crate::model::{Description, Selection};
use crate::queue::{Coming, Job, Queue};
use crate::refusal::Refusal;
use crate::worker;
use crate::{Error, Result, ServeConfig};

/// A service that all requests ask.
pub(crate) type Shared = Arc<Service>;

/// What requests ask.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) config: Arc<ServeConfig>,
    pub(crate) measures: Arc<Measures>,
    queue: Arc<Queue>,
    model_threads: i32,
    /// One permit per image in hand.
    room: Arc<Semaphore>,
    current: RwLock<Current>,
    newest: AtomicU64,
    reloading: tokio::sync::Mutex<()>,
}

/// The model that answers.
#[derive(Debug)]
struct Current {
    description: Arc<Description>,
    generation: u64,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// An image on its way to the model.
#[derive(Debug)]
pub(crate) struct Question {
    /// What the network reads, `[3, height, width]`.
    pub(crate) image: Vec<f32>,
    pub(crate) tasks: Selection,
}

impl Service {
    /// Opens the model of `config`, which computes with so many threads.
    ///
    /// # Errors
    /// A model that cannot be opened, or a task that it lacks.
    pub(crate) async fn open(config: ServeConfig, model_threads: i32) -> Result<Self> {
        let config = Arc::new(config);
        let queue = Arc::new(Queue::new(config.batch_size, config.batch_delay));
        let measures = Arc::new(Measures::new());
        let shared = (config.clone(), queue.clone(), measures.clone(), model_threads);
        let (description, go, thread) = opened(shared, 1).await?;
        // The thread that said so a moment ago waits for it.
        let _ = go.send(());
        let thread = Arc::new(Mutex::new(Some(thread)));
        let current = Current { description: Arc::new(description), generation: 1, thread };
        measures.generation(1);
        Ok(Self {
            room: Arc::new(Semaphore::new(config.queue)),
            current: RwLock::new(current),
            newest: AtomicU64::new(1),
            reloading: tokio::sync::Mutex::new(()),
            config,
            queue,
            measures,
            model_threads,
        })
    }

    /// The model that answers now.
    pub(crate) fn model(&self) -> Arc<Description> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).description.clone()
    }

    /// Its number: 1 for the first, one more for each that took its place.
    pub(crate) fn generation(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Notes a request whose images are still to come, until what this gives is dropped.
    pub(crate) fn expect(&self) -> Coming {
        self.queue.expect()
    }

    /// Images that wait for the model.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Images in hand.
    pub(crate) fn in_hand(&self) -> usize {
        self.config.queue.saturating_sub(self.room.available_permits())
    }

    /// Room for `images` more, until the permit is dropped.
    ///
    /// # Errors
    /// A server that has too many in hand.
    pub(crate) fn admit(&self, images: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let count = u32::try_from(images).unwrap_or(u32::MAX);
        let full = |_| Refusal::Overloaded { in_hand: self.in_hand() };
        self.room.clone().try_acquire_many_owned(count).map_err(full)
    }

    /// Whether a model's thread is at work.
    pub(crate) fn is_alive(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let thread = current.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Asks the model: the image waits from now on, whenever the answer is awaited.
    ///
    /// # Errors
    /// A model that failed or has ended.
    pub(crate) fn ask(
        &self,
        question: Question,
    ) -> impl Future<Output = Result<Answer, Refusal>> + use<> {
        let (reply, answer) = oneshot::channel();
        let Question { image, tasks } = question;
        self.queue.push(Job { image, tasks, arrived: Instant::now(), reply });
        async move { answer.await.unwrap_or(Err(Refusal::Ending)) }
    }

    /// Counts an answer.
    pub(crate) fn note(&self, model: &Description, tasks: &Selection, answer: &Answer) {
        self.measures.waited(answer.times.queue);
        tasks.iter().for_each(|&task| self.measures.answer(&model.tasks[task].spec.name));
    }

    /// Reads the folder anew and lets its model answer from now on.
    ///
    /// # Errors
    /// A model that cannot be opened or that answers other questions; the old one goes on then.
    pub(crate) async fn reload(&self) -> Result<u64> {
        let _alone = self.reloading.lock().await;
        let outcome = self.swap().await;
        self.measures.reload(outcome.is_ok());
        outcome
    }

    async fn swap(&self) -> Result<u64> {
        let generation = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let (queue, measures) = (self.queue.clone(), self.measures.clone());
        let shared = (self.config.clone(), queue, measures, self.model_threads);
        // Where this is refused, `go` is dropped and the new thread ends.
        let (description, go, thread) = opened(shared, generation).await?;
        self.model().require_same(&description)?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        let next = Current { description: Arc::new(description), generation, thread };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.queue.promote(generation);
        let _ = go.send(());
        self.measures.generation(generation);
        Ok(generation)
    }

    /// Waits for the model's last batch.
    ///
    /// # Errors
    /// A thread that died.
    pub(crate) async fn end(&self) -> Result<()> {
        self.queue.close();
        let taken = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            let mut thread = current.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.take()
        };
        let Some(thread) = taken else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        match tokio::time::timeout(worker::LAST_BATCH, joined).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(panic))) => Err(Error::Worker { reason: last_words(panic.as_ref()) }),
            Ok(Err(_)) | Err(_) => {
                let reason = format!("its last batch took longer than {:?}", worker::LAST_BATCH);
                Err(Error::Worker { reason })
            }
        }
    }
}

type Parts = (Arc<ServeConfig>, Arc<Queue>, Arc<Measures>, i32);

/// A thread with an open model that waits for its go.
async fn opened(
    parts: Parts,
    generation: u64,
) -> Result<(Description, mpsc::Sender<()>, JoinHandle<()>)> {
    let (say, opened) = oneshot::channel();
    let (go, wait) = mpsc::channel();
    let thread = worker::start(parts, generation, say, wait)?;
    match opened.await {
        Ok(description) => Ok((description?, go, thread)),
        Err(_) => {
            let panic = thread.join().err();
            let reason = panic.map_or("no reason".into(), |panic| last_words(panic.as_ref()));
            Err(Error::Worker { reason })
        }
    }
}

fn last_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
