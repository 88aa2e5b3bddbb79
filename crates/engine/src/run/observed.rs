//! What a method notes of images, such as the load of experts, mean over the images of each task.

use std::collections::BTreeMap;

use polyptych_data::Batch;
use polyptych_metrics::ExactSum;
use polyptych_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Model, Result, Task};

/// Sums over images of what the method noted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Sums {
    images: usize,
    by_name: BTreeMap<String, Vec<ExactSum>>,
}

impl Sums {
    fn add(&mut self, name: &str, values: &[f64]) {
        let sums = self.by_name.entry(name.to_owned()).or_default();
        sums.resize_with(values.len(), ExactSum::default);
        sums.iter_mut().zip(values).for_each(|(sum, value)| sum.add(*value));
    }

    /// Adds what another rank has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.images += other.images;
        for (name, more) in &other.by_name {
            let sums = self.by_name.entry(name.clone()).or_default();
            sums.resize_with(more.len(), ExactSum::default);
            sums.iter_mut().zip(more).for_each(|(sum, more)| sum.merge(more));
        }
    }

    /// Means over images.
    pub(super) fn means(self) -> BTreeMap<String, Vec<f64>> {
        let images = self.images as f64;
        let mean = |sums: Vec<ExactSum>| sums.iter().map(|sum| sum.value() / images).collect();
        self.by_name.into_iter().map(|(name, sums)| (name, mean(sums))).collect()
    }
}

/// Adds what the method noted of every image to the tasks that the image is labelled for.
pub(super) fn note(model: &Model, batch: &Batch, sums: &mut [Sums]) -> Result<()> {
    let labelled =
        |task: &Task, index: usize| batch.samples[index].labels.contains_key(&task.spec.name);
    let images = |task: &Task| (0..batch.samples.len()).filter(|&i| labelled(task, i)).collect();
    let rows: Vec<Vec<usize>> = model.tasks.iter().map(images).collect();
    for (name, values) in model.observed() {
        for (index, (sums, rows)) in sums.iter_mut().zip(&rows).enumerate() {
            let own = match values.dim() {
                3 => values.get(index as i64),
                _ => values.shallow_clone(),
            };
            let images = by_image(&own, batch.samples.len())?;
            rows.iter().for_each(|&row| sums.add(&name, &images[row]));
        }
    }
    sums.iter_mut().zip(rows).for_each(|(sums, rows)| sums.images += rows.len());
    Ok(())
}

/// Means over the parts of each of `count` images, whose rows follow each other: `[rows, values]`.
fn by_image(values: &Tensor, count: usize) -> Result<Vec<Vec<f64>>> {
    let width = values.size()[1];
    let parts = values.to_kind(Kind::Double).f_reshape([count as i64, -1, width])?;
    let means = parts.mean_dim([1i64].as_slice(), false, None::<Kind>).contiguous();
    let flat = Vec::<f64>::try_from(&means.view([-1]))?;
    Ok(flat.chunks(width.max(1) as usize).map(<[f64]>::to_vec).collect())
}
