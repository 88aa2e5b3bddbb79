//! What is said of whole images, as files.

use std::path::Path;

use anyhow::{Context, Result};
use polyptych_engine::{Prediction, Predictor};
use serde::Serialize;

use crate::output::say;

/// One row for each class that is named.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

/// A class of an image.
#[derive(Serialize)]
struct Row {
    image: String,
    /// Of a video, from 0.
    frame: Option<usize>,
    task: String,
    rank: usize,
    class: String,
    probability: f64,
}

impl Table {
    /// Adds what is said of `image`, or of one of its frames.
    pub(super) fn add(
        &mut self,
        image: &str,
        frame: Option<usize>,
        predictor: &Predictor,
        prediction: &Prediction,
    ) {
        for (task, classes) in predictor.ranked(prediction) {
            self.0.extend((1..).zip(classes).map(|(rank, (class, probability))| Row {
                image: image.to_owned(),
                frame,
                task: task.clone(),
                rank,
                class,
                probability,
            }));
        }
    }

    /// Writes `predictions.csv` and `predictions.json`, where there is anything to say.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (csv_path, json_path) = (out.join("predictions.csv"), out.join("predictions.json"));
        let mut writer =
            csv::Writer::from_path(&csv_path).with_context(|| csv_path.display().to_string())?;
        self.0.iter().try_for_each(|row| writer.serialize(row))?;
        writer.flush().with_context(|| csv_path.display().to_string())?;
        let json = serde_json::to_string_pretty(&self.0)? + "\n";
        std::fs::write(&json_path, json).with_context(|| json_path.display().to_string())?;
        say!("{}", csv_path.display());
        say!("{}", json_path.display());
        Ok(())
    }
}
