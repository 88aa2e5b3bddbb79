//! The thread that holds a model: it takes batches until another model takes over.
//!
//! Models share parts within a thread (`Rc`), so each is opened where it computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyptych_engine::{OpenRun, Task};
use polyptych_tensor::{Tensor, no_grad};
use tokio::sync::oneshot;

use crate::answer::{Answer, Times};
use crate::measures::Measures;
use crate::model::Description;
use crate::queue::{Job, Queue};
use crate::refusal::Refusal;
use crate::threads::compute_with;
use crate::{Result, ServeConfig};

/// What a model's thread says once the model is open, or why it is not.
pub(crate) type Opened = Result<Description>;

/// A thread that opens the model of `config`, which computes with `threads` threads, and says so by `opened`; what it hears on `go` lets it
/// take batches as the model `generation`, or end.
pub(crate) fn start(
    (config, queue, measures, threads): (Arc<ServeConfig>, Arc<Queue>, Arc<Measures>, i32),
    generation: u64,
    opened: oneshot::Sender<Opened>,
    go: std::sync::mpsc::Receiver<()>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let work = move || {
        compute_with(threads);
        let open = open(&config);
        let (worker, description) = match open {
            Ok((run, description)) => {
                (Some(Worker::new(run, &description, generation)), Ok(description))
            }
            Err(error) => (None, Err(error)),
        };
        let heard = opened.send(description).is_ok() && go.recv().is_ok();
        if let (Some(worker), true) = (worker, heard) {
            worker.serve(&queue, &measures);
        }
    };
    std::thread::Builder::new().name(format!("model-{generation}")).spawn(work)
}

fn open(config: &ServeConfig) -> Result<(OpenRun, Description)> {
    let run = OpenRun::open(&config.run, config.best, config.device.as_deref())?;
    let description = Description::of(&run, config)?;
    run.model.pack_linear_maps();
    Ok((run, description))
}

struct Worker {
    run: OpenRun,
    /// Position in the model of each task that is served.
    places: Vec<usize>,
    /// Height and width of what the network reads.
    size: [i64; 2],
    generation: u64,
}

/// Ends the queue where the model's thread dies, so that nobody waits for it.
struct Alive<'a>(&'a Queue);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

impl Worker {
    fn new(run: OpenRun, description: &Description, generation: u64) -> Self {
        let place = |name: &str| run.model.tasks.iter().position(|task| task.spec.name == name);
        let places = description.tasks.iter().filter_map(|task| place(&task.spec.name)).collect();
        let size = description.input.size.map(|extent| extent as i64);
        Self { run, places, size, generation }
    }

    fn serve(&self, queue: &Queue, measures: &Measures) {
        let _alive = Alive(queue);
        while let Some(batch) = queue.take(self.generation) {
            self.answer(batch, measures);
        }
    }

    /// A batch that fails is tried again one by one: what one image causes is no other's fault, and
    /// memory that is too small for all may do for each.
    fn answer(&self, batch: Vec<Job>, measures: &Measures) {
        let began = Instant::now();
        match self.raw(&batch) {
            Ok(raw) => self.reply(batch, raw, began, measures),
            Err(_) if batch.len() > 1 => {
                batch.into_iter().for_each(|job| self.answer(vec![job], measures));
            }
            Err(error) => {
                tracing::error!(%error, "the model failed");
                let refusal = Refusal::Model(error.to_string());
                batch.into_iter().for_each(|job| drop(job.reply.send(Err(refusal.clone()))));
            }
        }
    }

    fn reply(&self, batch: Vec<Job>, raw: Vec<Vec<Tensor>>, began: Instant, measures: &Measures) {
        let (model, size) = (began.elapsed(), batch.len());
        measures.batch(size, model);
        for (job, raw) in batch.into_iter().zip(raw) {
            let queue = began.saturating_duration_since(job.arrived);
            let times = Times { queue, model, batch: size };
            // A client that left wants no answer.
            drop(job.reply.send(Ok(Answer { raw, times, generation: self.generation })));
        }
    }

    /// The raw outputs of every job of a batch.
    fn raw(&self, batch: &[Job]) -> polyptych_engine::Result<Vec<Vec<Tensor>>> {
        let model = &self.run.model;
        let asked: Vec<&str> = batch[0]
            .tasks
            .iter()
            .map(|&task| model.tasks[self.places[task]].spec.name.as_str())
            .collect();
        let wanted = |task: &Task| asked.contains(&task.spec.name.as_str());
        let images = self.images(batch);
        let raw = no_grad(|| model.forward_some(&images, false, wanted))?;
        let row = |row: usize| raw.iter().map(|raw| raw.narrow(0, row as i64, 1)).collect();
        Ok((0..batch.len()).map(row).collect())
    }

    fn images(&self, batch: &[Job]) -> Tensor {
        let [height, width] = self.size;
        let rows: Vec<Tensor> = batch
            .iter()
            .map(|job| Tensor::from_slice(&job.image).view([1, 3, height, width]))
            .collect();
        Tensor::cat(&rows, 0).to_device(self.run.model.store.device())
    }
}

/// How long a model's thread may take to end once nothing waits.
pub(crate) const LAST_BATCH: Duration = Duration::from_secs(60);
