//! Predictions beside what is true.

use image::RgbImage;
use ndarray::Array3;
use polyptych_data::Sample;

use super::{Drawing, Prediction, Predictor};
use crate::Task;
use crate::report::error_map::{error_map, error_words, largest_error};
use crate::report::figure::{Cell, empty_cell, figure, map_cell, photograph_cell, worded_cell};
use crate::report::samples::{caption, photograph};

impl Predictor {
    /// As [`Predictor::figure`], in three rows: what is true of `sample`, what was predicted for its
    /// image, and the error of every pixel. Depths of a task run between those of its truth unless
    /// `drawing` says otherwise.
    pub fn figure_with_truth(
        &self,
        prediction: &Prediction,
        sample: &Sample,
        drawing: Drawing,
    ) -> RgbImage {
        let image = photograph(&prediction.photograph);
        let mut rows = [
            vec![photograph_cell(sample.name.clone(), image.clone())],
            vec![empty_cell()],
            vec![empty_cell()],
        ];
        for (task, map) in self.dense(prediction) {
            let cells = cells(task, map, sample, &image, drawing);
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        }
        let tasks = self.tasks().zip(&prediction.maps);
        let captions: Vec<String> = tasks
            .filter(|(task, _)| !task.spec.is_dense())
            .map(|(task, map)| caption(task, sample, &map.view()))
            .collect();
        let rows = if rows[0].len() > 1 { &rows[..] } else { &rows[..1] };
        figure(rows, &captions)
    }
}

/// Truth, prediction and error of a task; the prediction alone where the sample has no label.
fn cells(
    task: &Task,
    map: &Array3<f32>,
    sample: &Sample,
    image: &RgbImage,
    drawing: Drawing,
) -> [Cell; 3] {
    let spec = &task.spec;
    let title = |what: &str| format!("{}: {what}", spec.name);
    let over = drawing.overlay.map(|alpha| (image, alpha));
    let Some(truth) = sample.labels.get(&spec.name).map(polyptych_data::Label::to_target) else {
        let predicted = map_cell(title("prediction"), spec, map.view(), drawing.range(map), over);
        return [empty_cell(), predicted, empty_cell()];
    };
    let range = drawing.range(&truth);
    let largest = largest_error(spec, truth.view(), map.view()).unwrap_or_default();
    let error = error_map(spec, truth.view(), map.view(), largest);
    [
        map_cell(title("truth"), spec, truth.view(), range, over),
        map_cell(title("prediction"), spec, map.view(), range, over),
        worded_cell(title("error"), error, error_words(spec.kind, largest)),
    ]
}
