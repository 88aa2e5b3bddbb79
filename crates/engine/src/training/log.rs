//! `metrics.jsonl`, one JSON object per line, and files of baselines.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use polyptych_metrics::Baseline;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::io;
use crate::{Error, Result};

/// Who takes the lines of a log, and pictures beside them.
pub(crate) trait Follower: std::fmt::Debug + Send {
    /// Takes a line.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn line(&mut self, line: &Value) -> Result<()>;

    /// Takes pictures of samples at an evaluation.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn pictures(&mut self, step: u64, pictures: Vec<SamplePicture>) -> Result<()>;

    /// Whether pictures are taken.
    fn wants_pictures(&self) -> bool;
}

/// A sample as a picture: a column for each task behind that of the photograph, a row for what is
/// true and one for what the model says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SamplePicture {
    /// Place in the data set and name.
    pub name: String,
    /// A PNG file.
    pub png: Vec<u8>,
    /// Its width and height in pixels.
    pub size: [u32; 2],
    /// Width and height of each map in it.
    pub cell: [u32; 2],
    /// Titles of the columns, and where their maps begin, in pixels from the left.
    pub columns: Vec<(String, u32)>,
    /// Where the maps of each row begin, in pixels from the top.
    pub rows: Vec<u32>,
    /// What is true and what the model says of the whole image.
    pub captions: Vec<String>,
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct Log {
    /// None where another process writes.
    path: Option<PathBuf>,
    /// Stands in every line of a run in stages.
    stage: Option<String>,
    follower: Option<Box<dyn Follower>>,
}

impl Log {
    /// Goes on behind `step`: lines of later steps, written before a cut, are dropped.
    pub(crate) fn open(path: PathBuf, step: u64) -> Result<Self> {
        if path.exists() {
            drop_behind(&path, step)?;
        }
        Ok(Self { path: Some(path), stage: None, follower: None })
    }

    /// A log of which nothing is kept, of a process beside the one that writes.
    pub(crate) fn silent() -> Self {
        Self { path: None, stage: None, follower: None }
    }

    /// Every line has the name of the stage, where there is one.
    pub(crate) fn of_stage(self, stage: Option<String>) -> Self {
        Self { stage, ..self }
    }

    /// Every line goes to `follower`, too.
    pub(crate) fn followed_by(self, follower: impl Follower + 'static) -> Self {
        Self { follower: Some(Box::new(follower)), ..self }
    }

    /// Whether anybody takes pictures.
    pub(crate) fn wants_pictures(&self) -> bool {
        self.follower.as_ref().is_some_and(|follower| follower.wants_pictures())
    }

    /// Takes pictures of samples at an evaluation.
    pub(crate) fn pictures(&mut self, step: u64, pictures: Vec<SamplePicture>) -> Result<()> {
        let follower = self.follower.as_mut();
        follower.map_or(Ok(()), |follower| follower.pictures(step, pictures))
    }

    /// Writes one line at once, so that a cut loses at most the last one.
    pub(crate) fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = to_json(line);
        if let Some(stage) = self.stage.as_ref().filter(|_| text.ends_with('}')) {
            text.pop();
            text = format!("{text},\"stage\":{}}}", to_json(stage));
        }
        text.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io(path))?;
        let Some(follower) = &mut self.follower else { return Ok(()) };
        let line = serde_json::from_str(&text).expect("our own text is JSON");
        follower.line(&line)
    }
}

/// Drops lines of steps behind `step`, and what a cut has left of one. They are the last ones, so that
/// a long file is read line by line and made shorter where it lies.
fn drop_behind(path: &Path, step: u64) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io(path))?;
    let (mut kept, mut at, mut dropped, mut later) = (0, 0, false, Vec::new());
    let mut has_end = true;
    for_each_line(&file, |line| {
        at += line.len() as u64;
        match (step_of(line).is_some_and(|of| of <= step), dropped) {
            (true, false) => (kept, has_end) = (at, line.ends_with(b"\n")),
            // A line that stays behind one that goes.
            (true, true) => {
                later.extend_from_slice(line.trim_ascii_end());
                later.push(b'\n');
            }
            (false, _) => dropped = true,
        }
    })
    .map_err(io(path))?;
    if !later.is_empty() {
        let mut whole = std::fs::read(path).map_err(io(path))?;
        whole.truncate(kept as usize);
        whole.extend(later);
        return Ok(polyptych_formats::file::write_aside(path, &whole)?);
    }
    if dropped {
        file.set_len(kept).map_err(io(path))?;
    }
    // The reader has come to the end.
    if has_end { Ok(()) } else { file.write_all(b"\n").map_err(io(path)) }
}

/// Calls `each` with every line of `file` and its end, without holding the others.
pub(crate) fn for_each_line(file: &File, mut each: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        each(&line);
        line.clear();
    }
    Ok(())
}

fn step_of(line: &[u8]) -> Option<u64> {
    /// Of which all else is passed over.
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    serde_json::from_slice(line).ok().map(|line: Step| line.step)
}

/// The value as one line of JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own records have string keys only")
}

/// Single-task results that delta-m compares with, and where they came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baselines {
    /// The command that made the file.
    pub command: String,
    /// Seed of the runs.
    pub seed: u64,
    /// Steps of each run.
    pub steps: u64,
    /// Version of LibTorch, and the machine in a few words.
    pub made_with: String,
    /// One result per task.
    pub single_task: Vec<Baseline>,
}

impl Baselines {
    /// Reads a file of baselines.
    ///
    /// # Errors
    /// A file that cannot be read or has other fields.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(&path.display().to_string(), &polyptych_data::read_text(path)?)
    }

    /// Reads baselines from `text`; `origin` names it in errors.
    ///
    /// # Errors
    /// Other fields than those of this type.
    pub fn parse(origin: &str, text: &str) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut json).map_err(|e| Error::Recipe {
            origin: origin.into(),
            key: e.path().to_string(),
            reason: e.inner().to_string(),
        })
    }

    /// The baselines of `tasks`, or none unless all of them are recorded.
    pub fn of(&self, tasks: &[String]) -> Option<Vec<Baseline>> {
        let find = |task: &String| self.single_task.iter().find(|b| b.task == *task).cloned();
        tasks.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = r#"{"command": "c", "seed": 1, "steps": 2, "made_with": "m", "single_task":
        [{"task": "depth", "metric": "rmse_m", "value": 0.5, "higher_is_better": false}]}"#;

    #[test]
    fn lines_behind_the_checkpoint_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = Log::open(path.clone(), 0).unwrap();
        (1..=3).for_each(|step| log.write(&json!({"step": step})).unwrap());
        // What a cut leaves of a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\": 2, \"lo");
        std::fs::write(&path, text).unwrap();
        let mut log = Log::open(path.clone(), 2).unwrap();
        log.write(&json!({"step": 3, "again": true})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"again\":true}\n");
    }

    #[test]
    fn a_line_that_stays_behind_one_that_goes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let opened = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Log::open(path.clone(), 2).unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        assert_eq!(
            opened("{\"step\":1}\n{\"step\":3}\n{\"step\":2}\n"),
            "{\"step\":1}\n{\"step\":2}\n"
        );
        assert_eq!(opened("no line\n{\"step\":2}\n"), "{\"step\":2}\n");
        assert_eq!(opened("{\"step\":1}\n{\"step\":2}"), "{\"step\":1}\n{\"step\":2}\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_named() {
        let mut log = Log::open(PathBuf::from("/no/such/folder/metrics.jsonl"), 0).unwrap();
        let message = log.write(&json!({})).unwrap_err().to_string();
        assert!(message.starts_with("/no/such/folder/metrics.jsonl: "), "{message}");
    }

    #[test]
    fn baselines_serve_only_if_every_task_has_one() {
        let baselines = Baselines::parse("b.json", FILE).unwrap();
        let found = baselines.of(&["depth".into()]).unwrap();
        assert_eq!((found.len(), found[0].value), (1, 0.5));
        assert_eq!(baselines.of(&["depth".into(), "semseg".into()]), None);
        assert_eq!(Baselines::parse("copy", &to_json(&baselines)).unwrap(), baselines);
    }

    #[test]
    fn baselines_with_other_fields_are_refused() {
        let message = Baselines::parse("b.json", "{}").unwrap_err().to_string();
        assert!(message.contains("b.json: ") && message.contains("`command`"), "{message}");
        let text = FILE.replace("0.5", "\"half\"");
        let message = Baselines::parse("b.json", &text).unwrap_err().to_string();
        assert!(message.starts_with("b.json: single_task[0].value: "), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.json");
        let message = Baselines::open(&path).unwrap_err().to_string();
        assert!(message.contains("absent.json: "), "{message}");
    }
}
