//! TensorBoard's event files.
//!
//! A file is a row of framed records (`record`), each an `Event` message (`messages`). Every call
//! of a run writes a file of its own; what earlier files say of steps that are trained anew is
//! dropped, so that no step is there twice.

mod hparams;
mod messages;
mod record;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
#[allow(
    clippy::disallowed_types,
    reason = "TensorBoard shows wall time; no run depends on it"
)]
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use serde_json::Value;

use self::messages::{Event, Image, SessionLog, Summary, SummaryValue};
use crate::Result;
use crate::error::io;

/// What stands in the names of event files.
const MARK: &str = "tfevents";
/// The format of events, which is the first record of a file.
const FILE_VERSION: &str = "brain.Event:2";

/// Writes the events of one call of a run.
#[derive(Debug)]
pub(super) struct EventLog {
    folder: PathBuf,
    /// Steps that were done before this call.
    first: u64,
    hparams: Value,
    open: Option<(PathBuf, File)>,
}

impl EventLog {
    /// Goes on behind `step`; `hparams` are those of the run. The file begins with the first
    /// event.
    ///
    /// # Errors
    /// An earlier file that cannot be read or written.
    pub(super) fn open(folder: &Path, step: u64, hparams: Value) -> Result<Self> {
        for path in event_files(folder)? {
            trim(&path, step)?;
        }
        Ok(Self { folder: folder.into(), first: step, hparams, open: None })
    }

    /// Writes numbers of one step.
    pub(super) fn scalars(&mut self, step: u64, numbers: &[(String, f64)]) -> Result<()> {
        let value = |(tag, number): &(String, f64)| SummaryValue {
            tag: tag.clone(),
            simple_value: Some(*number as f32),
            ..SummaryValue::default()
        };
        self.summary(step, numbers.iter().map(value).collect())
    }

    /// Writes a picture, a PNG file of `size`, width and height.
    pub(super) fn picture(
        &mut self,
        step: u64,
        tag: &str,
        png: Vec<u8>,
        size: [u32; 2],
    ) -> Result<()> {
        let [width, height] = size.map(|extent| extent as i32);
        let image = Image { height, width, colorspace: 3, encoded_image_string: png };
        let value = SummaryValue { tag: tag.into(), image: Some(image), ..SummaryValue::default() };
        self.summary(step, vec![value])
    }

    /// Says that the run is complete.
    pub(super) fn finished(&mut self, step: u64) -> Result<()> {
        self.summary(step, vec![hparams::end(now())])
    }

    fn summary(&mut self, step: u64, value: Vec<SummaryValue>) -> Result<()> {
        self.write(&Event {
            wall_time: now(),
            step: step as i64,
            summary: Some(Summary { value }),
            ..Event::default()
        })
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        if self.open.is_none() {
            self.begin()?;
        }
        let Some((path, file)) = &mut self.open else { return Ok(()) };
        file.write_all(&record::framed(&event.encode_to_vec())).map_err(io(path))
    }

    /// The first records of a new file.
    fn begin(&mut self) -> Result<()> {
        let path = self.folder.join(new_name(&event_files(&self.folder)?));
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        self.open = Some((path.clone(), file.map_err(io(&path))?));
        let wall_time = now();
        let file_version = Some(FILE_VERSION.to_owned());
        self.write(&Event { wall_time, file_version, ..Event::default() })?;
        if self.first > 0 {
            // A TensorBoard that is open forgets what it read of the steps to come.
            let session_log = Some(SessionLog { status: SessionLog::START });
            let step = self.first as i64 + 1;
            self.write(&Event { wall_time, step, session_log, ..Event::default() })?;
        }
        let start = hparams::start(&self.hparams, wall_time);
        self.summary(self.first, vec![start])
    }
}

/// The event files of a folder, oldest first.
fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(io(folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(io(folder))?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| {
        file_name(path).starts_with("events.out.") && file_name(path).contains(MARK)
    });
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name behind those of `others`: TensorBoard reads files in the order of their names.
fn new_name(others: &[PathBuf]) -> String {
    let seconds = |path: &PathBuf| file_name(path).split('.').nth(3)?.parse::<u64>().ok();
    let last = others.iter().filter_map(seconds).max().map_or(0, |last| last + 1);
    let seconds = (now() as u64).max(last);
    format!("events.out.{MARK}.{seconds:010}.polyptych.{}.0", std::process::id())
}

/// Drops the events behind `step`, and what a cut has left of a record.
fn trim(path: &Path, step: u64) -> Result<()> {
    let bytes = std::fs::read(path).map_err(io(path))?;
    let stays = |event: &[u8]| Event::decode(event).is_ok_and(|event| event.step <= step as i64);
    let kept = record::payloads(&bytes).filter(|event| stays(event));
    let kept: Vec<u8> = kept.flat_map(record::framed).collect();
    if kept.len() < bytes.len() {
        polyptych_formats::file::write_aside(path, &kept)?;
    }
    Ok(())
}

fn now() -> f64 {
    #[allow(clippy::disallowed_types)]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(folder: &Path) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        for path in event_files(folder).unwrap() {
            let bytes = std::fs::read(&path).unwrap();
            for payload in record::payloads(&bytes) {
                let event = Event::decode(payload).unwrap();
                let values = event.summary.map(|summary| summary.value).unwrap_or_default();
                found.extend(values.into_iter().map(|value| (event.step, value.tag)));
            }
        }
        found.retain(|(_, tag)| tag == "loss");
        found
    }

    fn log(folder: &Path, first: u64, steps: std::ops::RangeInclusive<u64>) {
        let mut log = EventLog::open(folder, first, json!({"train": {"lr": 0.1}})).unwrap();
        steps.for_each(|step| log.scalars(step, &[("loss".into(), 1.0)]).unwrap());
    }

    #[test]
    fn a_resumed_run_has_every_step_once() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 0, 1..=5);
        // What a cut leaves of the last record.
        let path = event_files(folder.path()).unwrap().pop().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        log(folder.path(), 3, 4..=6);
        let found: Vec<i64> = steps(folder.path()).iter().map(|(step, _)| *step).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 6]);
        assert_eq!(event_files(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn nothing_is_written_before_the_first_event() {
        let folder = tempfile::tempdir().unwrap();
        EventLog::open(folder.path(), 0, json!({})).unwrap();
        assert!(event_files(folder.path()).unwrap().is_empty());
        let absent = folder.path().join("absent");
        let message = EventLog::open(&absent, 0, json!({})).unwrap_err().to_string();
        assert!(message.contains("absent: "), "{message}");
    }
}
