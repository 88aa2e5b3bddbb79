//! Several transformed samples as arrays.

use std::collections::BTreeMap;

use ndarray::{Array3, Array4, ArrayView3, Axis};

use super::LoaderConfig;
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
    /// What training learns from, for every task of the data set ([`Label::to_target`]); NaN
    /// where there is no label. `[batch, channels, height, width]` for maps,
    /// `[batch, 1, 1, 1]` for categories, `[batch, classes, 1, 1]` for tags.
    pub targets: BTreeMap<String, Array4<f32>>,
    /// The transformed samples, for evaluation against every annotator.
    pub samples: Vec<Sample>,
    /// What is wrong with each sample that was left out.
    pub skipped: Vec<String>,
}

/// One sample ready to be stacked.
pub(crate) struct Prepared {
    pub(crate) sample: Sample,
    image: Array3<f32>,
    /// In the order of the data set's tasks.
    targets: Vec<Array3<f32>>,
}

impl Prepared {
    pub(crate) fn new(sample: Sample, tasks: &[TaskSpec], config: &LoaderConfig) -> Self {
        let image = normalised(sample.image.view(), config);
        let target = |task: &TaskSpec| {
            let label = sample.labels.get(&task.name).map(Label::to_target);
            label.unwrap_or_else(|| Array3::from_elem(shape(task, config.img_size), f32::NAN))
        };
        let targets = tasks.iter().map(target).collect();
        Self { sample, image, targets }
    }
}

impl Batch {
    /// Stacks at least one sample.
    pub(crate) fn stack(indices: Vec<usize>, parts: Vec<Prepared>, tasks: &[TaskSpec]) -> Self {
        let targets = tasks.iter().enumerate().map(|(k, task)| {
            (task.name.clone(), stacked(parts.iter().map(|part| part.targets[k].view())))
        });
        let targets = targets.collect();
        let images = stacked(parts.iter().map(|part| part.image.view()));
        let samples: Vec<Sample> = parts.into_iter().map(|part| part.sample).collect();
        let names = samples.iter().map(|sample| sample.name.clone()).collect();
        Self { indices, names, images, targets, samples, skipped: Vec::new() }
    }
}

/// Shape of a task's target for one sample.
fn shape(task: &TaskSpec, [height, width]: [usize; 2]) -> (usize, usize, usize) {
    match task.kind {
        TaskKind::Normals => (3, height, width),
        TaskKind::Classification => (1, 1, 1),
        TaskKind::Tags => (task.classes.len(), 1, 1),
        _ => (1, height, width),
    }
}

fn stacked<'a>(parts: impl Iterator<Item = ArrayView3<'a, f32>>) -> Array4<f32> {
    let parts: Vec<_> = parts.collect();
    ndarray::stack(Axis(0), &parts).expect("checked samples of one transform have one shape")
}

fn normalised(image: ArrayView3<u8>, config: &LoaderConfig) -> Array3<f32> {
    let (height, width, _) = image.dim();
    let mut planes = Array3::zeros((3, height, width));
    for (c, mut plane) in planes.outer_iter_mut().enumerate() {
        let value = |v: usize| (v as f32 / 255.0 - config.mean[c]) / config.std[c];
        let table: [f32; 256] = std::array::from_fn(value);
        let channel = image.index_axis(Axis(2), c);
        plane.zip_mut_with(&channel, |to, &from| *to = table[usize::from(from)]);
    }
    planes
}
