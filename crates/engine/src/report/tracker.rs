//! Joins what follows a run beside `metrics.jsonl`: CSV, TensorBoard, and the record of its calls.

use std::time::{Duration, Instant};

use polyptych_tensor::memory;
use serde_json::Value;

use super::csv_log::CsvLog;
use super::provenance::{self, Call};
use super::scalars::{MIB, scalars};
use super::tensorboard::EventLog;
use crate::training::log::{Follower, SamplePicture};
use crate::{Recipe, Result, RunFolder};

/// Time between two looks at the memory of the process.
const MEMORY_EVERY: Duration = Duration::from_secs(10);

/// Follows the lines of a run.
#[derive(Debug)]
pub(crate) struct Tracker {
    folder: RunFolder,
    csv: CsvLog,
    events: Option<EventLog>,
    /// This call, until it is written down with the first line.
    call: Option<Call>,
    batch_size: usize,
    steps: u64,
    looked: Option<Instant>,
}

impl Tracker {
    /// Goes on behind `step`; nothing is added before the first line.
    ///
    /// # Errors
    /// A file of the run that cannot be read or written.
    pub(crate) fn open(folder: &RunFolder, recipe: &Recipe, call: Call) -> Result<Self> {
        let (path, step) = (folder.path(), call.step);
        let hparams = serde_json::to_value(recipe).unwrap_or(Value::Null);
        let events = EventLog::open(path, step, hparams)?;
        Ok(Self {
            csv: CsvLog::open(path.join("metrics.csv"), step)?,
            events: recipe.train.tensorboard.then_some(events),
            call: Some(call),
            batch_size: recipe.data.batch_size,
            steps: recipe.train.steps,
            folder: folder.clone(),
            looked: None,
        })
    }

    /// Images per second of a step, and now and then the memory.
    fn added(&mut self, line: &Value) -> Vec<(String, f64)> {
        let mut added = Vec::new();
        if !line["losses"].is_object() {
            return added;
        }
        let ms = line["wall_ms"].as_f64().filter(|ms| *ms > 0.0);
        let rate = ms.map(|ms| self.batch_size as f64 * 1e3 / ms);
        added.extend(rate.map(|rate| ("train/images_per_second".to_owned(), rate)));
        if self.looked.is_none_or(|at| at.elapsed() >= MEMORY_EVERY) {
            self.looked = Some(Instant::now());
            let mib = memory::resident_bytes().map(|bytes| bytes as f64 / MIB);
            added.extend(mib.map(|mib| ("memory/resident_mib".to_owned(), mib)));
        }
        added
    }
}

impl Follower for Tracker {
    fn line(&mut self, line: &Value) -> Result<()> {
        if let Some(call) = self.call.take() {
            provenance::note(self.folder.path(), &call)?;
        }
        let step = line["step"].as_u64().unwrap_or_default();
        let mut numbers = scalars(line);
        numbers.extend(self.added(line));
        if numbers.is_empty() {
            return Ok(());
        }
        self.csv.write(step, &numbers)?;
        let Some(events) = &mut self.events else { return Ok(()) };
        events.scalars(step, &numbers)?;
        let done = step == self.steps && !line["evaluation"].is_null();
        if done { events.finished(step) } else { Ok(()) }
    }

    fn pictures(&mut self, step: u64, pictures: Vec<SamplePicture>) -> Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        pictures.into_iter().try_for_each(|picture| {
            events.picture(step, &format!("samples/{}", picture.name), picture.png, picture.size)
        })
    }

    fn wants_pictures(&self) -> bool {
        self.events.is_some()
    }
}
