//! Several transformed samples as arrays.

use std::collections::BTreeMap;
use std::slice::ChunksExactMut;
use std::sync::Arc;

use ndarray::{Array4, ArrayView3, Axis};

use super::LoaderConfig;
use super::pool::{Home, Pool};
use crate::{Label, Sample, TaskKind, TaskSpec};

/// What one training step reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Index of each sample in its data set.
    pub indices: Vec<usize>,
    /// Name of each sample.
    pub names: Vec<String>,
    /// Normalised images, `[batch, 3, height, width]`.
    pub images: Array4<f32>,
    /// What training learns from, for every task of the data set ([`crate::Label::to_target`]); NaN
    /// where there is no label. `[batch, channels, height, width]` for maps,
    /// `[batch, 1, 1, 1]` for categories, `[batch, classes, 1, 1]` for tags, `[batch, 3, 1, 1]` for
    /// captions, whose texts are in the samples.
    pub targets: BTreeMap<String, Array4<f32>>,
    /// Normalised images that are to be found, `[batch, 3, height, width]`, for every task of
    /// retrieval with modifying texts; zeros where a sample has none.
    pub candidates: BTreeMap<String, Array4<f32>>,
    /// The transformed samples, for evaluation against every annotator.
    pub samples: Vec<Sample>,
    /// What is wrong with each sample that was left out.
    pub skipped: Vec<String>,
    home: Home,
}

impl Drop for Batch {
    fn drop(&mut self) {
        let images = std::mem::take(&mut self.images);
        let targets = std::mem::take(&mut self.targets).into_values();
        let arrays = std::iter::once(images).chain(targets);
        arrays.for_each(|array| self.home.take(array.into_raw_vec_and_offset().0));
    }
}

impl Batch {
    /// A batch whose numbers mean nothing yet, and the places of `count` samples in it.
    pub(crate) fn blank(
        count: usize,
        tasks: &[TaskSpec],
        config: &LoaderConfig,
        pool: &Arc<Pool>,
    ) -> Blank {
        let [height, width] = config.img_size;
        let array = |(c, h, w): (usize, usize, usize)| {
            let numbers = pool.take(count * c * h * w);
            Array4::from_shape_vec((count, c, h, w), numbers).expect("as many numbers as asked for")
        };
        let images = array((3, height, width));
        let targets = tasks.iter().map(|task| array(shape(task, config.img_size))).collect();
        Blank { images, targets, home: Home::new(pool) }
    }
}

/// The arrays of a batch, to be written by many threads.
pub(crate) struct Blank {
    images: Array4<f32>,
    /// In the order of the data set's tasks.
    targets: Vec<Array4<f32>>,
    home: Home,
}

/// Where one sample of a batch goes.
pub(crate) struct Place<'a> {
    image: &'a mut [f32],
    targets: Vec<&'a mut [f32]>,
}

impl Blank {
    /// The places of all samples.
    pub(crate) fn places(&mut self) -> Vec<Place<'_>> {
        let mut targets: Vec<_> = self.targets.iter_mut().map(parts).collect();
        let place = |image| {
            let targets = targets.iter_mut().filter_map(Iterator::next).collect();
            Place { image, targets }
        };
        parts(&mut self.images).map(place).collect()
    }

    /// The batch of the samples whose `rows` were written.
    pub(crate) fn filled(
        self,
        rows: &[usize],
        indices: Vec<usize>,
        samples: Vec<Sample>,
        tasks: &[TaskSpec],
        config: &LoaderConfig,
    ) -> Batch {
        let candidates = candidates(&samples, tasks, config);
        let all = rows.len() == self.images.dim().0;
        let kept = |array: Array4<f32>| if all { array } else { array.select(Axis(0), rows) };
        let targets = tasks.iter().zip(self.targets);
        let targets = targets.map(|(task, array)| (task.name.clone(), kept(array))).collect();
        let names = samples.iter().map(|sample| sample.name.clone()).collect();
        let (images, skipped) = (kept(self.images), Vec::new());
        Batch { indices, names, images, targets, candidates, samples, skipped, home: self.home }
    }
}

impl Place<'_> {
    /// Writes a transformed sample.
    pub(crate) fn fill(self, sample: &Sample, tasks: &[TaskSpec], config: &LoaderConfig) {
        normalise(sample.image.view(), config, self.image);
        for (task, target) in tasks.iter().zip(self.targets) {
            match sample.labels.get(&task.name) {
                Some(label) => label.write_target(target),
                None => target.fill(f32::NAN),
            }
        }
    }
}

/// The normalised images of modifications.
fn candidates(
    samples: &[Sample],
    tasks: &[TaskSpec],
    config: &LoaderConfig,
) -> BTreeMap<String, Array4<f32>> {
    let modified = tasks.iter().filter(|task| task.kind == TaskKind::ModifiedRetrieval);
    let all = modified.map(|task| {
        let [height, width] = config.img_size;
        let mut images = Array4::zeros((samples.len(), 3, height, width));
        for (place, sample) in parts(&mut images).zip(samples) {
            if let Some(Label::Modified { image, .. }) = sample.labels.get(&task.name) {
                normalise(image.view(), config, place);
            }
        }
        (task.name.clone(), images)
    });
    all.collect()
}

/// One part for each sample.
fn parts(array: &mut Array4<f32>) -> ChunksExactMut<'_, f32> {
    let numbers = array.len() / array.dim().0;
    let values = array.as_slice_mut().expect("a new array is contiguous");
    // Tags without classes have no numbers.
    values.chunks_exact_mut(numbers.max(1))
}

/// Shape of a task's target for one sample.
fn shape(task: &TaskSpec, [height, width]: [usize; 2]) -> (usize, usize, usize) {
    match task.kind {
        TaskKind::Normals => (3, height, width),
        TaskKind::Classification => (1, 1, 1),
        TaskKind::Tags => (task.classes.len(), 1, 1),
        TaskKind::Retrieval | TaskKind::ModifiedRetrieval => (3, 1, 1),
        _ => (1, height, width),
    }
}

/// Values of an image as a plane for each channel, in units of the channel's deviation.
fn normalise(image: ArrayView3<u8>, config: &LoaderConfig, planes: &mut [f32]) {
    let tables = [0, 1, 2].map(|c| {
        let value = |v: usize| (v as f32 / 255.0 - config.mean[c]) / config.std[c];
        std::array::from_fn::<f32, 256, _>(value)
    });
    let image = image.as_standard_layout();
    let pixels = image.as_slice().expect("standard layout is contiguous").chunks_exact(3);
    let (red, rest) = planes.split_at_mut(pixels.len());
    let (green, blue) = rest.split_at_mut(pixels.len());
    for (pixel, ((red, green), blue)) in pixels.zip(red.iter_mut().zip(green).zip(blue)) {
        *red = tables[0][usize::from(pixel[0])];
        *green = tables[1][usize::from(pixel[1])];
        *blue = tables[2][usize::from(pixel[2])];
    }
}
