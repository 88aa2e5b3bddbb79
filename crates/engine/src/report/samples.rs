//! Pictures of samples at an evaluation: photograph, what is true, and what the model says.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{Array3, Array4, ArrayView3, Axis};
use polyptych_data::{Batch, Label, Sample, TaskKind};

use crate::report::panel::{painted, value_range};
use crate::report::text::{width, write};
use crate::training::log::SamplePicture;
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
    pub(crate) pictures: Vec<SamplePicture>,
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
                let name = format!("{place}_{}", batch.names[row]);
                self.pictures.extend(drawn(name, &model.tasks, &batch.samples[row], &maps));
            }
        }
    }
}

/// No picture where it cannot be encoded: its size is 0.
fn drawn(
    name: String,
    tasks: &[Task],
    sample: &Sample,
    maps: &[ArrayView3<f32>],
) -> Option<SamplePicture> {
    let grid = Grid::of(tasks, sample, maps);
    let picture = grid.draw(sample);
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).ok()?;
    let titles = grid.dense.iter().map(|(task, _)| task.spec.name.clone());
    let columns = std::iter::once("photograph".to_owned()).chain(titles);
    Some(SamplePicture {
        name,
        png: png.into_inner(),
        size: [picture.width(), picture.height()],
        cell: grid.cell,
        columns: columns.zip((0..).map(|column| column * grid.step)).collect(),
        rows: (0..grid.rows).map(|row| grid.top(row)).collect(),
        captions: grid.captions,
    })
}

/// A column for each task, the truth above the prediction; the photograph stands first, and what
/// is said of the whole image below it.
struct Grid<'a, 'm> {
    dense: Vec<(&'a Task, &'a ArrayView3<'m, f32>)>,
    captions: Vec<String>,
    cell: [u32; 2],
    /// From one column to the next.
    step: u32,
    rows: u32,
}

impl<'a, 'm> Grid<'a, 'm> {
    fn of(tasks: &'a [Task], sample: &Sample, maps: &'a [ArrayView3<'m, f32>]) -> Self {
        let cell = fitted(&sample.image);
        let pairs = || tasks.iter().zip(maps);
        let dense: Vec<_> = pairs().filter(|(task, _)| task.spec.is_dense()).collect();
        let whole = pairs().filter(|(task, _)| !task.spec.is_dense());
        let captions = whole.map(|(task, map)| caption(task, sample, map)).collect();
        let names = dense.iter().map(|(task, _)| width(&task.spec.name)).max().unwrap_or(0);
        let step = cell[0].max(names).max(width("prediction")) + GAP;
        let rows = if dense.is_empty() { 1 } else { 2 };
        Self { dense, captions, cell, step, rows }
    }

    fn top(&self, row: u32) -> u32 {
        LINE + row * (self.cell[1] + GAP)
    }

    fn draw(&self, sample: &Sample) -> RgbImage {
        let mut picture = self.lettered();
        self.put(&mut picture, &photograph(&sample.image), 0, 0);
        for (column, (task, map)) in (1..).zip(&self.dense) {
            let truth = sample.labels.get(&task.spec.name).map(Label::to_target);
            let range = value_range(truth.as_ref().map_or(map.view(), Array3::view));
            if let Some(truth) = &truth {
                self.put(&mut picture, &painted(&task.spec, truth.view(), range), column, 0);
            }
            self.put(&mut picture, &painted(&task.spec, map.view(), range), column, 1);
        }
        picture
    }

    /// All of the picture but the maps.
    fn lettered(&self) -> RgbImage {
        let said = self.captions.iter().map(|text| width(text)).max().unwrap_or(0);
        let wide = said.max(self.step * (self.dense.len() as u32 + 1));
        let below = self.top(self.rows);
        let high = below + LINE * self.captions.len() as u32;
        let mut picture = RgbImage::from_pixel(wide, high, Rgb([255; 3]));
        write(&mut picture, "truth", 0, 0);
        if !self.dense.is_empty() {
            write(&mut picture, "prediction", 0, self.top(1));
        }
        for (column, (task, _)) in (1..).zip(&self.dense) {
            write(&mut picture, &task.spec.name, column * self.step, 0);
        }
        for (line, text) in (0..).zip(&self.captions) {
            write(&mut picture, text, 0, below + line * LINE);
        }
        picture
    }

    fn put(&self, picture: &mut RgbImage, map: &RgbImage, column: u32, row: u32) {
        let small = imageops::resize(map, self.cell[0], self.cell[1], FilterType::Nearest);
        let (left, top) = (column * self.step, self.top(row));
        imageops::replace(picture, &small, i64::from(left), i64::from(top));
    }
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
pub(crate) fn caption(task: &Task, sample: &Sample, logits: &ArrayView3<f32>) -> String {
    let (spec, all) = (&task.spec, logits.iter().copied().collect::<Vec<f32>>());
    let own = task.union.as_ref().map_or(0..all.len(), |union| union.own.clone());
    let own = all.get(own).unwrap_or_default();
    let name = |class: usize| spec.classes.get(class).map_or("?", String::as_str);
    let classes = |chosen: Vec<usize>| chosen.into_iter().map(name).collect::<Vec<_>>().join(" + ");
    let above = |values: &[f32], limit: f32| {
        (0..values.len()).filter(|&class| values[class] > limit).collect::<Vec<_>>()
    };
    if let Some(text) = sample.labels.get(&spec.name).and_then(Label::text) {
        return format!("{}: {text}", spec.name);
    }
    let truth = sample.labels.get(&spec.name).map(Label::to_array);
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
