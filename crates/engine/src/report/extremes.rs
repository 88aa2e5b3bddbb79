//! The best and the worst samples of every task, with what is wrong in them.

use std::sync::Arc;

use image::RgbImage;
use ndarray::{Array3, ArrayView3, Axis};
use polyptych_data::{Batch, Label, Loader, Sample, Subset, TaskKind, TaskSpec};
use polyptych_metrics::MetricError;
use polyptych_tensor::no_grad;

use super::error_map::{error_map, error_words, largest_error};
use super::samples::{caption, photograph};
use crate::report::panel::{painted, value_range};
use crate::run::evaluate::predict_batch;
use crate::{DataSets, OpenRun, Result, Task};

/// Samples of each kind that are kept of a task.
const WORST: usize = 3;
const BEST: usize = 2;

/// What is shown of a task.
#[derive(Debug)]
pub(super) struct Extremes {
    pub(super) task: String,
    /// The worst first, then the best, best first.
    pub(super) shown: Vec<Extreme>,
    /// Samples that have labels of the task, among those that were looked at.
    pub(super) labelled: usize,
    /// What the colours of the last picture mean.
    pub(super) error_words: String,
}

/// One sample of a task.
#[derive(Debug)]
pub(super) struct Extreme {
    pub(super) name: String,
    pub(super) worst: bool,
    /// The task's headline for this sample alone, or the probability of what is true, in percent.
    pub(super) score: String,
    pub(super) photograph: RgbImage,
    /// Truth, prediction and error, of tasks with maps.
    pub(super) maps: Vec<(&'static str, RgbImage)>,
    /// What is said of the whole image.
    pub(super) caption: Option<String>,
}

/// A sample that is kept while others are looked at.
struct Kept {
    value: f64,
    text: String,
    sample: Sample,
    map: Array3<f32>,
}

/// Both ends of a task.
struct Ends {
    worst: Vec<Kept>,
    best: Vec<Kept>,
    higher_is_better: bool,
    labelled: usize,
}

/// Looks at up to `limit` samples of the evaluation data at even distances.
///
/// # Errors
/// Data or a sample that cannot be read, an output that is not finite.
pub(super) fn extremes(run: &OpenRun, limit: usize) -> Result<Vec<Extremes>> {
    let all = DataSets::open_eval(&run.recipe)?;
    let some = Subset::evenly(all.dataset().clone(), limit);
    let loader = Loader::new(Arc::new(some), all.config().clone())?;
    let tasks = &run.model.tasks;
    let mut ends: Vec<Ends> = tasks.iter().map(|_| Ends::new()).collect();
    for batch in loader.epoch(0, 0)? {
        let batch = batch?;
        let outputs = no_grad(|| predict_batch(&run.model, &batch))?;
        for ((task, output), ends) in tasks.iter().zip(&outputs).zip(&mut ends) {
            for row in 0..batch.samples.len() {
                ends.look(task, &batch, row, output.index_axis(Axis(0), row))?;
            }
        }
    }
    let shown = tasks.iter().zip(ends).map(|(task, ends)| ends.drawn(task));
    Ok(shown.filter(|extremes| !extremes.shown.is_empty()).collect())
}

impl Ends {
    fn new() -> Self {
        Self { worst: Vec::new(), best: Vec::new(), higher_is_better: true, labelled: 0 }
    }

    fn look(&mut self, task: &Task, batch: &Batch, row: usize, map: ArrayView3<f32>) -> Result<()> {
        let sample = &batch.samples[row];
        let Some(label) = sample.labels.get(&task.spec.name) else { return Ok(()) };
        let Some((value, text, higher)) = score(task, label, map)? else { return Ok(()) };
        (self.higher_is_better, self.labelled) = (higher, self.labelled + 1);
        let sign = if higher { 1.0 } else { -1.0 };
        let kept = || Kept {
            value: sign * value,
            text: text.clone(),
            sample: sample.clone(),
            map: map.to_owned(),
        };
        let is_worse = |a: &Kept, b: &Kept| a.value < b.value;
        insert(&mut self.worst, WORST, sign * value, &kept, is_worse);
        insert(&mut self.best, BEST, sign * value, &kept, |a, b| is_worse(b, a));
        Ok(())
    }

    fn drawn(self, task: &Task) -> Extremes {
        let mut shown: Vec<(bool, Kept)> =
            self.worst.into_iter().map(|kept| (true, kept)).collect();
        for kept in self.best {
            // Few samples may be both.
            if shown.iter().all(|(_, worst)| worst.sample.name != kept.sample.name) {
                shown.push((false, kept));
            }
        }
        let largest = shown.iter().filter_map(|(_, kept)| largest_of(&task.spec, kept));
        let largest = largest.fold(0.0, f32::max);
        Extremes {
            task: task.spec.name.clone(),
            error_words: error_words(task.spec.kind, largest),
            labelled: self.labelled,
            shown: shown.iter().map(|(worst, kept)| draw(task, *worst, kept, largest)).collect(),
        }
    }
}

/// Puts a sample in its place among at most `limit`, the first of which comes before all others.
fn insert(
    list: &mut Vec<Kept>,
    limit: usize,
    value: f64,
    kept: &dyn Fn() -> Kept,
    before: impl Fn(&Kept, &Kept) -> bool,
) {
    if list.len() == limit && list.last().is_some_and(|last| last.value == value) {
        return;
    }
    let new = kept();
    let place = list.iter().position(|old| before(&new, old)).unwrap_or(list.len());
    if place < limit {
        list.insert(place, new);
        list.truncate(limit);
    }
}

/// The headline of one sample, as text too, and whether more is better; nothing without a label.
fn score(task: &Task, label: &Label, map: ArrayView3<f32>) -> Result<Option<(f64, String, bool)>> {
    let target = label.to_array();
    if !task.spec.is_dense() {
        let share = probability_of_truth(task, &target, map);
        return Ok(
            share.map(|share| (share, format!("{:.1} % on what is true", 100.0 * share), true))
        );
    }
    let mut metric = task.metric()?;
    metric.update(map, target.view())?;
    match metric.compute() {
        Err(MetricError::NoLabel { .. }) => Ok(None),
        Err(e) => Err(e.into()),
        Ok(scores) => Ok(scores.first().map(|score| {
            let unit =
                if score.unit.is_empty() { String::new() } else { format!(" {}", score.unit) };
            (
                score.value,
                format!("{} {:.2}{unit}", score.name, score.value),
                score.higher_is_better,
            )
        })),
    }
}

/// Of one class per image: its probability among all; of tags: the mean probability of every
/// answer, yes or no, that is true.
fn probability_of_truth(task: &Task, target: &Array3<f32>, logits: ArrayView3<f32>) -> Option<f64> {
    let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    if task.spec.kind == TaskKind::Tags {
        let shares = target.iter().zip(&logits).filter(|(flag, _)| !flag.is_nan());
        let shares: Vec<f64> = shares
            .map(|(&flag, logit)| 1.0 / (1.0 + (if flag > 0.5 { -logit } else { *logit }).exp()))
            .collect();
        return (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
    }
    if task.spec.reads_texts() {
        return None;
    }
    let first = task.union.as_ref().map_or(0, |union| union.own.start);
    let label = target[[0, 0, 0]];
    let own = logits.get(first + label as usize).filter(|_| !label.is_nan())?;
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((own - largest).exp() / logits.iter().map(|l| (l - largest).exp()).sum::<f64>())
}

fn draw(task: &Task, worst: bool, kept: &Kept, largest: f32) -> Extreme {
    let (spec, sample) = (&task.spec, &kept.sample);
    let caption = (!spec.is_dense()).then(|| caption(task, sample, &kept.map.view()));
    let mut maps = Vec::new();
    if let (true, Some(truth)) = (spec.is_dense(), sample.labels.get(&spec.name)) {
        let truth = truth.to_target();
        let range = value_range(truth.view());
        maps.push(("truth", painted(spec, truth.view(), range)));
        maps.push(("prediction", painted(spec, kept.map.view(), range)));
        maps.push(("error", error_map(spec, truth.view(), kept.map.view(), largest)));
    }
    Extreme {
        name: sample.name.clone(),
        worst,
        score: kept.text.clone(),
        photograph: photograph(&sample.image),
        maps,
        caption,
    }
}

fn largest_of(spec: &TaskSpec, kept: &Kept) -> Option<f32> {
    let truth = kept.sample.labels.get(&spec.name)?.to_target();
    largest_error(spec, truth.view(), kept.map.view())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Array3<f32> {
        Array3::from_shape_vec((1, 1, values.len()), values.to_vec()).unwrap()
    }

    #[test]
    fn lists_keep_the_ends_in_order() {
        let kept = |value: f64| Kept {
            value,
            text: String::new(),
            sample: Sample {
                name: value.to_string(),
                image: Array3::zeros((1, 1, 3)),
                labels: Default::default(),
            },
            map: row(&[0.0]),
        };
        let mut worst = Vec::new();
        for value in [3.0, 1.0, 5.0, 2.0, 4.0] {
            insert(&mut worst, 3, value, &|| kept(value), |a, b| a.value < b.value);
        }
        let values: Vec<f64> = worst.iter().map(|kept| kept.value).collect();
        assert_eq!(values, [1.0, 2.0, 3.0]);
    }
}
