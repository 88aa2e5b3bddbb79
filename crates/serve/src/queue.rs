//! Images that wait for the model, and how they become batches.
//!
//! A batch holds images that ask for the same tasks, so that no head runs for an image that did not
//! ask for it. The image that has waited longest says which tasks are next; it waits for others no
//! longer than the delay, and not at all where a batch is full or no other request is on its way.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::model::Selection;
use crate::refusal::Refusal;

/// One image that waits.
#[derive(Debug)]
pub(crate) struct Job {
    /// What the network reads, `[3, height, width]`.
    pub(crate) image: Vec<f32>,
    pub(crate) tasks: Selection,
    pub(crate) arrived: Instant,
    /// Closed where nobody waits any more.
    pub(crate) reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// The images that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    batch_size: usize,
    batch_delay: Duration,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    /// Requests that are read or decoded, whose images are still to come.
    coming: usize,
    /// The model that takes batches; earlier ones end.
    generation: u64,
    closed: bool,
}

/// A request whose images are still to come, until it is dropped.
#[derive(Debug)]
pub(crate) struct Coming(Arc<Queue>);

impl Drop for Coming {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.coming -= 1;
        if state.coming == 0 {
            self.0.changed.notify_all();
        }
    }
}

impl Queue {
    pub(crate) fn new(batch_size: usize, batch_delay: Duration) -> Self {
        let state = State { jobs: VecDeque::new(), coming: 0, generation: 1, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), batch_size, batch_delay }
    }

    /// Lets a job wait. Where the queue is closed it is dropped, which its sender hears of.
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.lock();
        if !state.closed {
            state.jobs.push_back(job);
            self.changed.notify_all();
        }
    }

    /// Notes a request, so that images wait for its own.
    pub(crate) fn expect(self: &Arc<Self>) -> Coming {
        self.lock().coming += 1;
        Coming(self.clone())
    }

    /// Images that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// The next batch for the model `generation`: jobs of the same tasks. None once another model
    /// has taken over, or the queue is closed and empty.
    pub(crate) fn take(&self, generation: u64) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            state.jobs.retain(|job| !job.reply.is_closed());
            if state.generation != generation || (state.closed && state.jobs.is_empty()) {
                return None;
            }
            let Some(first) = state.jobs.front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = first.arrived.elapsed();
            let alone = state.closed || state.coming == 0;
            if alone || waited >= self.batch_delay || state.alike() >= self.batch_size {
                return Some(state.batch(self.batch_size));
            }
            let left = self.batch_delay - waited;
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the model `generation` take all later batches.
    pub(crate) fn promote(&self, generation: u64) {
        self.lock().generation = generation;
        self.changed.notify_all();
    }

    /// Takes no more jobs; those that wait are still given out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Takes no more jobs and drops those that wait.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.jobs.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many jobs ask for the tasks of the first one.
    fn alike(&self) -> usize {
        let first = self.jobs.front().map(|job| &job.tasks);
        self.jobs.iter().filter(|job| Some(&job.tasks) == first).count()
    }

    fn batch(&mut self, most: usize) -> Vec<Job> {
        let mut batch: Vec<Job> = Vec::new();
        let mut rest = VecDeque::with_capacity(self.jobs.len());
        for job in self.jobs.drain(..) {
            let fits =
                batch.len() < most && batch.first().is_none_or(|first| first.tasks == job.tasks);
            if fits { batch.push(job) } else { rest.push_back(job) }
        }
        self.jobs = rest;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reply = oneshot::Receiver<Result<Answer, Refusal>>;

    fn job(number: u8, tasks: &[usize]) -> (Job, Reply) {
        let (reply, answer) = oneshot::channel();
        let image = vec![f32::from(number)];
        (Job { image, tasks: tasks.into(), arrived: Instant::now(), reply }, answer)
    }

    fn filled(jobs: &[(u8, &[usize])], delay: Duration) -> (Queue, Vec<Reply>) {
        let queue = Queue::new(2, delay);
        let replies = jobs.iter().map(|&(number, tasks)| {
            let (job, reply) = job(number, tasks);
            queue.push(job);
            reply
        });
        let replies = replies.collect();
        (queue, replies)
    }

    fn numbers(batch: Option<Vec<Job>>) -> Vec<u8> {
        batch.unwrap().iter().map(|job| job.image[0] as u8).collect()
    }

    #[test]
    fn batches_hold_the_same_tasks_in_the_order_of_arrival() {
        let jobs: [(u8, &[usize]); 5] =
            [(1, &[0]), (2, &[0, 1]), (3, &[0]), (4, &[0]), (5, &[0, 1])];
        let (queue, _replies) = filled(&jobs, Duration::ZERO);
        assert_eq!(numbers(queue.take(1)), [1, 3]);
        assert_eq!(numbers(queue.take(1)), [2, 5]);
        assert_eq!(queue.len(), 1);
        assert_eq!(numbers(queue.take(1)), [4]);
    }

    #[test]
    fn an_image_waits_for_requests_on_their_way_and_a_full_batch_does_not() {
        let (queue, _replies) = filled(&[(1, &[0]), (2, &[0])], Duration::from_secs(60));
        let queue = Arc::new(queue);
        let _coming = queue.expect();
        assert_eq!(numbers(queue.take(1)), [1, 2]);
        let (queue, _replies) = filled(&[(1, &[0])], Duration::from_millis(30));
        let queue = Arc::new(queue);
        let _coming = queue.expect();
        let began = Instant::now();
        assert_eq!(numbers(queue.take(1)), [1]);
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_lone_image_does_not_wait() {
        let (queue, _replies) = filled(&[(1, &[0])], Duration::from_secs(60));
        assert_eq!(numbers(queue.take(1)), [1]);
        let (queue, _replies) = filled(&[(2, &[0])], Duration::from_secs(60));
        let queue = Arc::new(queue);
        let coming = queue.expect();
        let taken = std::thread::spawn({
            let queue = queue.clone();
            move || numbers(queue.take(1))
        });
        std::thread::sleep(Duration::from_millis(20));
        // It was refused: nothing else will come.
        drop(coming);
        assert_eq!(taken.join().unwrap(), [2]);
    }

    #[test]
    fn nobody_computes_for_clients_that_left() {
        let (queue, mut replies) = filled(&[(1, &[0]), (2, &[0])], Duration::ZERO);
        drop(replies.remove(0));
        assert_eq!(numbers(queue.take(1)), [2]);
    }

    #[test]
    fn a_new_model_takes_over_while_the_old_one_waits() {
        let queue = Arc::new(Queue::new(1, Duration::ZERO));
        let old = std::thread::spawn({
            let queue = queue.clone();
            move || queue.take(1).is_none()
        });
        queue.promote(2);
        assert!(old.join().unwrap());
        let (job, _reply) = job(1, &[0]);
        queue.push(job);
        assert_eq!(numbers(queue.take(2)), [1]);
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_took() {
        let (queue, _replies) = filled(&[(1, &[0])], Duration::from_secs(60));
        queue.close();
        let (late, mut reply) = job(2, &[0]);
        queue.push(late);
        assert!(matches!(reply.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        assert_eq!(numbers(queue.take(1)), [1]);
        assert!(queue.take(1).is_none());
        let (queue, mut replies) = filled(&[(1, &[0])], Duration::from_secs(60));
        queue.abandon();
        assert!(queue.take(1).is_none());
        assert!(replies[0].try_recv().is_err());
    }
}
