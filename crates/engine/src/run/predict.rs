//! From photographs to maps.

mod names;
mod truth;

use std::collections::HashMap;
use std::path::Path;

use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use ndarray::{Array3, Array4, Axis};
use polyptych_data::{LoaderConfig, TaskKind, TaskSpec, read_image, resize_image};
use polyptych_formats::file;
use polyptych_tensor::{Device, no_grad};

use crate::error::io;
use crate::report::figure::{Cell, blended, figure, map_cell, photograph_cell};
use crate::report::panel::{painted, value_range};
use crate::report::samples::photograph;
use crate::run::evaluate::to_array;
use crate::{Error, OpenRun, Result, Task, panel, to_tensor};
pub use names::{ImageFiles, output_names};

/// A model that reads photographs of any size.
#[derive(Debug)]
pub struct Predictor {
    run: OpenRun,
    input: LoaderConfig,
    /// Positions of the tasks that are predicted, ascending.
    asked: Vec<usize>,
}

/// How maps are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drawing {
    /// Share of a map that is laid over the photograph, in [0, 1]; maps alone if absent.
    pub overlay: Option<f32>,
    /// Depths in metres between which colours run; the 2nd and 98th percentile of each map if
    /// absent.
    pub depth_range: Option<[f32; 2]>,
    /// Pictures beside each other in a figure; all of them if absent.
    pub columns: Option<usize>,
}

impl Drawing {
    fn range(&self, map: &Array3<f32>) -> [f32; 2] {
        self.depth_range.unwrap_or_else(|| value_range(map.view()))
    }
}

/// Maps of one photograph.
#[derive(Debug)]
pub struct Prediction {
    /// The photograph, `[height, width, 3]`.
    pub photograph: Array3<u8>,
    /// One map per task that is predicted, `[channels, height, width]` at the size of the photograph;
    /// `[classes, 1, 1]` for tasks of whole images.
    pub maps: Vec<Array3<f32>>,
}

impl Predictor {
    /// Takes over a trained or merged model.
    pub fn new(run: OpenRun) -> Self {
        run.model.pack_linear_maps();
        let input = run.recipe.loader(1);
        let asked = (0..run.model.tasks.len()).collect();
        Self { run, input, asked }
    }

    /// Predicts the tasks called `names` alone: heads of the others do not run.
    ///
    /// # Errors
    /// A task that the model does not have.
    pub fn asked_for(self, names: &[String]) -> Result<Self> {
        let all = &self.run.model.tasks;
        let known = |name: &&String| all.iter().any(|task| task.spec.name == **name);
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let known: Vec<&str> = all.iter().map(|task| task.spec.name.as_str()).collect();
            let reason = format!("expected {}, found {unknown}", known.join(", "));
            let path = self.run.folder.path().to_owned();
            return Err(Error::Run { path, reason: format!("tasks: {reason}") });
        }
        let asked = (0..all.len()).filter(|&index| names.contains(&all[index].spec.name));
        Ok(Self { asked: asked.collect(), ..self })
    }

    /// The tasks that are predicted, in the order of the model.
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.asked.iter().map(|&index| &self.run.model.tasks[index])
    }

    /// Predicts the tasks for the photograph in `file`, turned as its orientation mark says.
    ///
    /// # Errors
    /// A file that is no readable image.
    pub fn predict(&self, file: &Path) -> Result<Prediction> {
        self.predict_image(read_image(file)?)
    }

    /// Predicts the tasks for `photograph`, `[height, width, 3]`.
    ///
    /// # Errors
    /// A model that cannot compute at this size.
    pub fn predict_image(&self, photograph: Array3<u8>) -> Result<Prediction> {
        let (height, width, _) = photograph.dim();
        let small = resize_image(photograph.view(), self.input.img_size);
        let model = &self.run.model;
        let images = to_tensor(&normalised(&small, &self.input), model.store.device());
        let wanted = |task: &Task| self.tasks().any(|asked| asked.spec.name == task.spec.name);
        let raw = no_grad(|| model.forward_some(&images, false, wanted))?;
        let maps = self.tasks().zip(raw).map(|(task, raw)| {
            let map = no_grad(|| task.activate_at(&raw, [height as i64, width as i64]))?;
            Ok(to_array(&map)?.index_axis_move(Axis(0), 0))
        });
        Ok(Prediction { maps: maps.collect::<Result<_>>()?, photograph })
    }

    /// The dense tasks as one picture with titles, the classes that occur, colour bars with units,
    /// and what is said of the whole image; photograph first, every map at its size.
    pub fn figure(&self, prediction: &Prediction, drawing: Drawing) -> RgbImage {
        let photograph = photograph(&prediction.photograph);
        let cell = |(task, map): (&Task, &Array3<f32>)| {
            let over = drawing.overlay.map(|alpha| (&photograph, alpha));
            let range = drawing.range(map);
            map_cell(task.spec.name.clone(), &task.spec, map.view(), range, over)
        };
        let maps = self.dense(prediction).map(cell);
        let first = photograph_cell("photograph".into(), photograph.clone());
        let row: Vec<Cell> = std::iter::once(first).chain(maps).collect();
        let captions = self.image_level(prediction).into_iter();
        let captions: Vec<String> =
            captions.map(|(task, words)| format!("{task}: {words}")).collect();
        let columns = drawing.columns.unwrap_or(row.len()).max(1);
        let rows: Vec<Vec<Cell>> = row.chunks(columns).map(<[Cell]>::to_vec).collect();
        figure(&rows, &captions)
    }

    /// The dense tasks as one picture and nothing else: photograph, then each task.
    pub fn panel(&self, prediction: &Prediction, drawing: Drawing) -> RgbImage {
        let photograph = photograph(&prediction.photograph);
        let draw = |(task, map): (&Task, &Array3<f32>)| {
            let map = painted(&task.spec, map.view(), drawing.range(map));
            drawing.overlay.map_or_else(|| map.clone(), |alpha| blended(&photograph, &map, alpha))
        };
        let pictures: Vec<RgbImage> = self.dense(prediction).map(draw).collect();
        panel(&prediction.photograph, &pictures)
    }

    /// Tasks with maps.
    fn dense<'a>(
        &'a self,
        prediction: &'a Prediction,
    ) -> impl Iterator<Item = (&'a Task, &'a Array3<f32>)> {
        let tasks = self.tasks().zip(&prediction.maps);
        tasks.filter(|(task, _)| task.spec.is_dense())
    }

    /// The 2nd and 98th percentile of the depth maps in metres; nothing without such a task.
    pub fn depth_range(&self, prediction: &Prediction) -> Option<[f32; 2]> {
        let depths = self.dense(prediction).filter(|(task, _)| task.spec.kind == TaskKind::Depth);
        depths.map(|(_, map)| value_range(map.view())).reduce(|[a, b], [c, d]| [a.min(c), b.max(d)])
    }

    /// Writes `picture` as a PNG file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_picture(&self, picture: &RgbImage, path: &Path) -> Result<()> {
        let mut png = Vec::new();
        // Smooth maps become a third smaller than by the encoder's fast compression.
        let encoder =
            PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
        let encoded = picture.write_with_encoder(encoder);
        encoded.map_err(|e| io(path)(std::io::Error::other(e)))?;
        Ok(file::write_aside(path, &png)?)
    }

    /// Writes the maps by task, `[channels, height, width]` each, as safetensors.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_raw(&self, prediction: &Prediction, path: &Path) -> Result<()> {
        let names = self.tasks().map(|task| task.spec.name.clone());
        let maps = prediction.maps.iter().map(|map| to_tensor(map, Device::Cpu));
        Ok(file::save(path, &names.zip(maps).collect(), HashMap::new())?)
    }

    /// For tasks of whole images: the task, and the classes it sees with their probabilities.
    pub fn image_level(&self, prediction: &Prediction) -> Vec<(String, String)> {
        let words = |(task, ranked): (String, Vec<(String, f64)>)| {
            let one = |(class, p): (String, f64)| format!("{class} {:.1} %", 100.0 * p);
            (task, ranked.into_iter().map(one).collect::<Vec<_>>().join(", "))
        };
        self.ranked(prediction).into_iter().map(words).collect()
    }

    /// For tasks of whole images: the task and its classes with their probabilities in [0, 1]: the
    /// five most probable ones, or, where an image has any number of classes, those above a half.
    pub fn ranked(&self, prediction: &Prediction) -> Vec<(String, Vec<(String, f64)>)> {
        let tasks = self.tasks().zip(&prediction.maps);
        let ranks = |task: &crate::Task| !task.spec.is_dense() && !task.spec.reads_texts();
        let tasks = tasks.filter(|(task, _)| ranks(task));
        tasks.map(|(task, map)| (task.spec.name.clone(), ranked(&task.spec, map))).collect()
    }

    /// Names of the panels, in their order.
    pub fn titles(&self) -> Vec<String> {
        let tasks = self.tasks().filter(|task| task.spec.is_dense());
        std::iter::once("photograph".into()).chain(tasks.map(|t| t.spec.name.clone())).collect()
    }
}

/// Classes of a task by their probabilities, highest first: softmax of one class per image, sigmoid
/// of tags.
fn ranked(spec: &TaskSpec, logits: &Array3<f32>) -> Vec<(String, f64)> {
    let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    let tags = spec.kind == TaskKind::Tags;
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let share = |logit: f64| match tags {
        true => 1.0 / (1.0 + (-logit).exp()),
        false => (logit - largest).exp() / sum,
    };
    let name = |index: usize| spec.classes.get(index).map_or("?", String::as_str).to_owned();
    let all = logits.iter().enumerate().map(|(index, &logit)| (name(index), share(logit)));
    let mut all: Vec<(String, f64)> = all.filter(|(_, p)| !tags || *p > 0.5).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    if !tags {
        all.truncate(TOP);
    }
    all
}

/// Classes that are named of an image that has one.
const TOP: usize = 5;

/// The photograph in `file` as a network reads it, `[1, 3, height, width]`.
///
/// # Errors
/// A file that is no readable image.
pub(crate) fn network_input(file: &Path, config: &LoaderConfig) -> Result<Array4<f32>> {
    let photograph = read_image(file)?;
    Ok(normalised(&resize_image(photograph.view(), config.img_size), config))
}

fn normalised(image: &Array3<u8>, config: &LoaderConfig) -> Array4<f32> {
    let (height, width, _) = image.dim();
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        (f32::from(image[[y, x, c]]) / 255.0 - config.mean[c]) / config.std[c]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(kind: TaskKind) -> TaskSpec {
        let classes = ["sun", "sea", "sky"].map(str::to_owned).into();
        TaskSpec { name: "t".into(), kind, classes, palette: vec![], flip_pairs: vec![] }
    }

    #[test]
    fn image_level_tasks_answer_in_words() {
        let logits = Array3::from_shape_vec((3, 1, 1), vec![0.5, -1.0, 2.0]).unwrap();
        let names =
            |kind| ranked(&tags(kind), &logits).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(names(TaskKind::Classification), ["sky", "sun", "sea"]);
        assert_eq!(names(TaskKind::Tags), ["sky", "sun"]);
        let all = ranked(&tags(TaskKind::Classification), &logits);
        assert!((all.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn networks_see_normalised_planes() {
        let config = LoaderConfig::evaluation(1, [2, 1]);
        let image =
            Array3::from_shape_fn((2, 1, 3), |(y, _, c)| if c == 1 { 255 * y as u8 } else { 0 });
        let planes = normalised(&image, &config);
        assert_eq!(planes.dim(), (1, 3, 2, 1));
        let expected = |value: f32, c: usize| (value - config.mean[c]) / config.std[c];
        assert_eq!(planes[[0, 1, 1, 0]], expected(1.0, 1));
        assert_eq!(planes[[0, 1, 0, 0]], expected(0.0, 1));
        assert_eq!(planes[[0, 2, 1, 0]], expected(0.0, 2));
    }
}
