//! Pictures of samples at an evaluation: photograph, what is true, and what the model says.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{Array3, Array4, ArrayView3, Axis};
use polyptych_data::{Batch, Sample, TaskKind};

use crate::report::panel::{painted, value_range};
use crate::report::text::{width, write};
use crate::training::log::Picture;
use crate::{Model, Task};

/// Samples that are shown, at even distances in the data set.
const SAMPLES: usize = 4;
/// Longer side of a picture in pixels.
const SIDE: u32 = 160;
const GAP: u32 = 4;
const LINE: u32 = 20;

/// Takes some samples out of the batches of an evaluation.
pub(crate) struct SamplePicker {
    wanted: Vec<usize>,
    /// What was taken.
    pub(crate) pictures: Vec<Picture>,
}

impl SamplePicker {
    /// Picks out of `len` samples; none where nobody wants any.
    pub(crate) fn new(len: usize, wanted: bool) -> Self {
        let count = if wanted { SAMPLES.min(len) } else { 0 };
        let wanted = (0..count).map(|place| place * len / count).collect();
        Self { wanted, pictures: Vec::new() }
    }

    /// Looks at a batch; `outputs`: `[batch, channels, height, width]` of every task.
    pub(crate) fn look(&mut self, model: &Model, batch: &Batch, outputs: &[Array4<f32>]) {
        for (row, index) in batch.indices.iter().enumerate() {
            if let Some(place) = self.wanted.iter().position(|wanted| wanted == index) {
                let maps: Vec<ArrayView3<f32>> =
                    outputs.iter().map(|output| output.index_axis(Axis(0), row)).collect();
                let picture = grid(&model.tasks, &batch.samples[row], &maps);
                let name = format!("{place}_{}", batch.names[row]);
                self.pictures.extend(encoded(name, &picture));
            }
        }
    }
}

/// No picture where it cannot be encoded: its size is 0.
fn encoded(name: String, picture: &RgbImage) -> Option<Picture> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).ok()?;
    let size = [picture.width(), picture.height()];
    Some(Picture { name, png: png.into_inner(), size })
}

/// A column for each task, the truth above the prediction; the photograph stands first, and what
/// is said of the whole image below it.
fn grid(tasks: &[Task], sample: &Sample, maps: &[ArrayView3<f32>]) -> RgbImage {
    let cell = fitted(&sample.image);
    let dense: Vec<_> = tasks.iter().zip(maps).filter(|(task, _)| task.spec.is_dense()).collect();
    let captions: Vec<String> = tasks
        .iter()
        .zip(maps)
        .filter(|(task, _)| !task.spec.is_dense())
        .map(|(task, map)| caption(task, sample, map))
        .collect();
    let names = dense.iter().map(|(task, _)| width(&task.spec.name)).max().unwrap_or(0);
    let step = cell[0].max(names).max(width("prediction")) + GAP;
    let wide = step * (dense.len() as u32 + 1);
    let wide = captions.iter().map(|text| width(text)).max().unwrap_or(0).max(wide);
    let rows = if dense.is_empty() { 1 } else { 2 };
    let high = LINE + rows * (cell[1] + GAP) + LINE * captions.len() as u32;
    let mut picture = RgbImage::from_pixel(wide, high, Rgb([255; 3]));
    write(&mut picture, "truth", 0, 0);
    if !dense.is_empty() {
        write(&mut picture, "prediction", 0, LINE + cell[1] + GAP);
    }
    let mut put = |cell_picture: &RgbImage, column: u32, row: u32| {
        let small = imageops::resize(cell_picture, cell[0], cell[1], FilterType::Nearest);
        let (left, top) = (column * step, LINE + row * (cell[1] + GAP));
        imageops::replace(&mut picture, &small, i64::from(left), i64::from(top));
    };
    put(&photograph(&sample.image), 0, 0);
    for (column, (task, map)) in (1..).zip(&dense) {
        let truth = sample.labels.get(&task.spec.name).map(polyptych_data::Label::to_target);
        let range = value_range(truth.as_ref().map_or(map.view(), Array3::view));
        if let Some(truth) = &truth {
            put(&painted(&task.spec, truth.view(), range), column, 0);
        }
        put(&painted(&task.spec, map.view(), range), column, 1);
    }
    for (column, (task, _)) in (1..).zip(&dense) {
        write(&mut picture, &task.spec.name, column * step, 0);
    }
    for (line, text) in (0..).zip(&captions) {
        write(&mut picture, text, 0, LINE + rows * (cell[1] + GAP) + line * LINE);
    }
    picture
}

/// Width and height of an image whose longer side is at most [`SIDE`].
fn fitted(image: &Array3<u8>) -> [u32; 2] {
    let (height, width, _) = image.dim();
    let longer = height.max(width).max(1) as u32;
    let share = SIDE.min(longer);
    [width, height].map(|extent| (extent as u32 * share / longer).max(1))
}

/// The photograph as a picture.
pub(crate) fn photograph(image: &Array3<u8>) -> RgbImage {
    let (height, width, _) = image.dim();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([0, 1, 2].map(|channel| image[[y as usize, x as usize, channel]]))
    })
}

/// `birds: truth owl, prediction gull`.
pub(super) fn caption(task: &Task, sample: &Sample, logits: &ArrayView3<f32>) -> String {
    let (spec, all) = (&task.spec, logits.iter().copied().collect::<Vec<f32>>());
    let own = task.union.as_ref().map_or(0..all.len(), |union| union.own.clone());
    let own = all.get(own).unwrap_or_default();
    let name = |class: usize| spec.classes.get(class).map_or("?", String::as_str);
    let classes = |chosen: Vec<usize>| chosen.into_iter().map(name).collect::<Vec<_>>().join(" + ");
    let above = |values: &[f32], limit: f32| {
        (0..values.len()).filter(|&class| values[class] > limit).collect::<Vec<_>>()
    };
    let truth = sample.labels.get(&spec.name).map(polyptych_data::Label::to_array);
    let (truth, prediction) = match spec.kind {
        TaskKind::Tags => {
            let truth = truth.map(|t| above(&t.iter().copied().collect::<Vec<_>>(), 0.5));
            (truth, above(own, 0.0))
        }
        _ => (truth.map(|t| vec![t[[0, 0, 0]] as usize]), largest(own)),
    };
    let truth = truth.map_or("-".to_owned(), classes);
    format!("{}: truth {truth}, prediction {}", spec.name, classes(prediction))
}

fn largest(values: &[f32]) -> Vec<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_at_even_distances() {
        assert_eq!(SamplePicker::new(200, true).wanted, [0, 50, 100, 150]);
        assert_eq!(SamplePicker::new(3, true).wanted, [0, 1, 2]);
        assert!(SamplePicker::new(200, false).wanted.is_empty());
    }

    #[test]
    fn large_photographs_are_made_small_and_small_ones_stay() {
        assert_eq!(fitted(&Array3::zeros((320, 640, 3))), [160, 80]);
        assert_eq!(fitted(&Array3::zeros((32, 48, 3))), [48, 32]);
    }
}
