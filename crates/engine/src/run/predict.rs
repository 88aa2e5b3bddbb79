//! From photographs to maps.

mod names;

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use ndarray::{Array3, Array4, Axis};
use polyptych_data::{LoaderConfig, TaskKind, TaskSpec, read_image, resize_image};
use polyptych_formats::file;
use polyptych_tensor::{Device, no_grad};

use crate::error::io;
use crate::report::figure::{Cell, figure, map_cell, photograph_cell};
use crate::report::panel::value_range;
use crate::report::samples::photograph;
use crate::run::evaluate::to_array;
use crate::{OpenRun, Result, panel, picture, to_tensor};
pub use names::{image_files, output_names, passed_over};

/// A model that reads photographs of any size.
#[derive(Debug)]
pub struct Predictor {
    run: OpenRun,
    input: LoaderConfig,
}

/// Maps of one photograph.
#[derive(Debug)]
pub struct Prediction {
    /// The photograph, `[height, width, 3]`.
    pub photograph: Array3<u8>,
    /// One map per task, `[channels, height, width]` at the size of the photograph; `[classes, 1,
    /// 1]` for tasks of whole images.
    pub maps: Vec<Array3<f32>>,
}

impl Predictor {
    /// Takes over a trained or merged model.
    pub fn new(run: OpenRun) -> Self {
        let input = run.recipe.loader(1);
        Self { run, input }
    }

    /// Predicts every task for the photograph in `file`, turned as its orientation mark says.
    ///
    /// # Errors
    /// A file that is no readable image.
    pub fn predict(&self, file: &Path) -> Result<Prediction> {
        let photograph = read_image(file)?;
        let (height, width, _) = photograph.dim();
        let small = resize_image(photograph.view(), self.input.img_size);
        let model = &self.run.model;
        let images = to_tensor(&normalised(&small, &self.input), model.store.device());
        let raw = no_grad(|| model.forward(&images, false))?;
        let maps = model.tasks.iter().zip(raw).map(|(task, raw)| {
            let map = no_grad(|| task.activate_at(&raw, [height as i64, width as i64]))?;
            Ok(to_array(&map)?.index_axis_move(Axis(0), 0))
        });
        Ok(Prediction { maps: maps.collect::<Result<_>>()?, photograph })
    }

    /// The dense tasks as one picture with titles, the classes that occur, colour bars with units,
    /// and what is said of the whole image; photograph first, every map at its size.
    ///
    /// `overlay`: share of a map that is laid over the photograph, in [0, 1]; maps alone if absent.
    pub fn figure(&self, prediction: &Prediction, overlay: Option<f32>) -> RgbImage {
        let photograph = photograph(&prediction.photograph);
        let tasks = self.run.model.tasks.iter().zip(&prediction.maps);
        let cell = |(task, map): (&crate::Task, &Array3<f32>)| {
            let over = overlay.map(|alpha| (&photograph, alpha));
            let name = task.spec.name.clone();
            map_cell(name, &task.spec, map.view(), value_range(map.view()), over)
        };
        let maps = tasks.filter(|(task, _)| task.spec.is_dense()).map(cell);
        let first = photograph_cell("photograph".into(), photograph.clone());
        let row: Vec<Cell> = std::iter::once(first).chain(maps).collect();
        let captions = self.image_level(prediction).into_iter();
        let captions: Vec<String> =
            captions.map(|(task, words)| format!("{task}: {words}")).collect();
        figure(&[row], &captions)
    }

    /// The dense tasks as one picture and nothing else: photograph, then each task.
    pub fn panel(&self, prediction: &Prediction) -> RgbImage {
        let tasks = self.run.model.tasks.iter().zip(&prediction.maps);
        let dense = tasks.filter(|(task, _)| task.spec.is_dense());
        let pictures: Vec<RgbImage> =
            dense.map(|(task, map)| picture(&task.spec, map.view())).collect();
        panel(&prediction.photograph, &pictures)
    }

    /// Writes `picture` as a PNG file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_picture(&self, picture: &RgbImage, path: &Path) -> Result<()> {
        let mut png = Cursor::new(Vec::new());
        let encoded = picture.write_to(&mut png, ImageFormat::Png);
        encoded.map_err(|e| io(path)(std::io::Error::other(e)))?;
        Ok(file::write_aside(path, png.get_ref())?)
    }

    /// Writes the maps by task, `[channels, height, width]` each, as safetensors.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save_raw(&self, prediction: &Prediction, path: &Path) -> Result<()> {
        let names = self.run.model.tasks.iter().map(|task| task.spec.name.clone());
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
        let tasks = self.run.model.tasks.iter().zip(&prediction.maps);
        let tasks = tasks.filter(|(task, _)| !task.spec.is_dense());
        tasks.map(|(task, map)| (task.spec.name.clone(), ranked(&task.spec, map))).collect()
    }

    /// Names of the panels, in their order.
    pub fn titles(&self) -> Vec<String> {
        let tasks = self.run.model.tasks.iter().filter(|task| task.spec.is_dense());
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
