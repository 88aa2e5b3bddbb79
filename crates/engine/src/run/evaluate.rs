//! How good is a model, task by task?

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array4, ArrayView3, ArrayView4, Axis};
use polyptych_data::{Batch, Loader};
use polyptych_distributed::Ranks;
use polyptych_metrics::{
    Baseline, ClassScore, DeltaM, Details, Metric, MetricError, Score, Seen, delta_m,
};
use polyptych_tensor::{Device, Kind, Tensor, no_grad};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::run::observed::{Sums, note};
use crate::run::overlap::{Handover, overlapped};
use crate::run::peak::Peak;
use crate::training::log::to_json;
use crate::{Error, Inputs, Model, Result, Task, to_tensor};

/// Scores of every task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Tasks in the order of the task axis.
    pub tasks: Vec<TaskScores>,
    /// Relative change against single-task baselines, where they are recorded.
    pub delta_m: Option<DeltaM>,
}

/// Scores of one task, the headline first; none where the data hold no label of the task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskScores {
    /// Name of the task.
    pub task: String,
    /// Its scores.
    pub scores: Vec<Score>,
    /// What each class reached, for tasks that have some; none where the data hold no label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<NamedClass>,
    /// The best headline score of the run so far; only in a run's own evaluations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// What the method noted by the names of its layers, mean over the task's images: EMTAL's
    /// load of every expert and entropy of the gates in nats; the same of MoDE's routers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, Vec<f64>>,
    /// Counts behind the scores; not in `metrics.jsonl`, which has a line for every evaluation.
    #[serde(skip)]
    pub details: Details,
}

/// One class of a task, and what it reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedClass {
    /// The class.
    pub class: String,
    /// What it reached.
    #[serde(flatten)]
    pub score: ClassScore,
}

impl Evaluation {
    /// The headline score of every task that has one.
    pub fn headlines(&self) -> Vec<(&str, Score)> {
        let first = |task: &TaskScores| task.scores.first().copied();
        self.tasks.iter().filter_map(|t| Some((t.task.as_str(), first(t)?))).collect()
    }

    /// All of it as JSON, each task with the fields of its [`Details`].
    pub fn with_details(&self) -> serde_json::Value {
        let json = |value: serde_json::Result<serde_json::Value>| {
            value.expect("our own records have string keys only")
        };
        let mut whole = json(serde_json::to_value(self));
        for (task, place) in
            self.tasks.iter().zip(whole["tasks"].as_array_mut().into_iter().flatten())
        {
            let details = json(serde_json::to_value(&task.details));
            if let (Some(fields), Some(details)) = (place.as_object_mut(), details.as_object()) {
                fields.extend(details.clone());
            }
        }
        whole
    }

    /// The headlines as baselines for other runs.
    pub fn as_baselines(&self) -> Vec<Baseline> {
        self.headlines().iter().map(|(task, score)| Baseline::new(*task, score)).collect()
    }
}

/// Measures `model` over all of `loader`, in evaluation mode. Metrics see a batch while the model is
/// at the next one.
///
/// `progress` is called with the number of batches done.
///
/// # Errors
/// A sample that cannot be read, an output that is not finite, or baselines of other metrics.
pub fn evaluate(
    model: &Model,
    loader: &Loader,
    baselines: Option<&[Baseline]>,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation> {
    evaluate_watched(model, loader, baselines, &mut |done, _, _| {
        progress(done);
        Ok(())
    })
}

/// Sees the number of batches done, a batch, and what every task says of it.
pub type Watch<'a> = dyn FnMut(usize, &Batch, &[Array4<f32>]) -> Result<()> + 'a;

/// As [`evaluate`]; `watch` sees the number of batches done, the batch, and what every task says
/// of it, `[batch, channels, height, width]` as [`Task::activate`] gives it.
///
/// # Errors
/// As [`evaluate`], and whatever `watch` reports.
pub fn evaluate_watched(
    model: &Model,
    loader: &Loader,
    baselines: Option<&[Baseline]>,
    watch: &mut Watch,
) -> Result<Evaluation> {
    let mut metrics = model.tasks.iter().map(Task::metric).collect::<Result<Vec<_>>>()?;
    let mut observed: Vec<Sums> = model.tasks.iter().map(|_| Sums::default()).collect();
    // Tasks hold tensors, which do not cross threads; their names do.
    let names: Vec<&str> = model.tasks.iter().map(|task| task.spec.name.as_str()).collect();
    let predict = |handover: &Handover<Arc<Predicted>>| {
        for (done, batch) in loader.epoch(0, 0)?.enumerate() {
            let batch = batch?;
            let outputs = no_grad(|| predict_batch(model, &batch))?;
            let predicted = Arc::new(Predicted { batch, outputs });
            if !handover.give(Arc::clone(&predicted)) {
                break;
            }
            note(model, &predicted.batch, &mut observed)?;
            watch(done + 1, &predicted.batch, &predicted.outputs)?;
        }
        Ok(())
    };
    overlapped(predict, |predicted| predicted.measure(&names, &mut metrics))?;
    of_all_ranks(&model.ranks, &mut metrics, &mut observed)?;
    let scores = |((task, metric), observed): ((&Task, &dyn Metric), Sums)| {
        let scores = match metric.compute() {
            Err(MetricError::NoLabel { .. }) => Vec::new(),
            other => other?,
        };
        let classes = if scores.is_empty() { Vec::new() } else { named(task, metric) };
        let task = task.spec.name.clone();
        let details = if scores.is_empty() { Details::default() } else { metric.details() };
        let observed = observed.means();
        Ok(TaskScores { task, scores, classes, peak: None, observed, details })
    };
    let measured = model.tasks.iter().zip(metrics.iter().map(AsRef::as_ref)).zip(observed);
    let tasks = measured.map(scores).collect::<Result<Vec<_>>>()?;
    let mut evaluation = Evaluation { tasks, delta_m: None };
    if let Some(baselines) = baselines {
        evaluation.delta_m = Some(delta_m(&evaluation.headlines(), baselines)?);
    }
    Ok(evaluation)
}

/// A batch, and what every task says of it.
struct Predicted {
    batch: Batch,
    outputs: Vec<Array4<f32>>,
}

impl Predicted {
    /// Shows it to the metric of every task, all of them at once.
    fn measure(&self, tasks: &[&str], metrics: &mut [Box<dyn Metric>]) -> Result<()> {
        let tasks = tasks.par_iter().zip(metrics).zip(&self.outputs);
        tasks.try_for_each(|((task, metric), output)| {
            update(metric.as_mut(), task, output, &self.batch)
        })
    }
}

/// What the metrics of one rank have seen, and what the method noted there.
#[derive(Serialize, Deserialize)]
struct SeenByRank {
    metrics: Vec<Seen>,
    observed: Vec<Sums>,
}

/// Adds what other ranks have seen of their batches; all have the same numbers then.
fn of_all_ranks(
    ranks: &Ranks,
    metrics: &mut [Box<dyn Metric>],
    observed: &mut [Sums],
) -> Result<()> {
    if !ranks.are_many() {
        return Ok(());
    }
    let seen = metrics.iter_mut().map(|metric| metric.seen()).collect();
    let own = SeenByRank { metrics: seen, observed: observed.to_vec() };
    let all = ranks.gather(to_json(&own).as_bytes())?;
    for (rank, bytes) in all.iter().enumerate().filter(|(rank, _)| *rank != ranks.rank()) {
        let other: SeenByRank = serde_json::from_slice(bytes).map_err(|e| Error::Recipe {
            origin: format!("rank {rank}"),
            key: "evaluation".into(),
            reason: e.to_string(),
        })?;
        metrics.iter_mut().zip(&other.metrics).for_each(|(metric, seen)| metric.merge(seen));
        observed.iter_mut().zip(&other.observed).for_each(|(sums, more)| sums.merge(more));
    }
    Ok(())
}

fn named(task: &Task, metric: &dyn Metric) -> Vec<NamedClass> {
    let pairs = task.spec.classes.iter().zip(metric.per_class());
    pairs.map(|(class, score)| NamedClass { class: class.clone(), score }).collect()
}

/// What a reader expects of each task, `[batch, channels, height, width]` on the CPU.
pub(crate) fn predict_batch(model: &Model, batch: &Batch) -> Result<Vec<Array4<f32>>> {
    let images = to_tensor(&batch.images, model.store.device());
    let texts = model.texts(batch)?;
    let raw = model.forward(Inputs { images: &images, texts: texts.as_ref() }, false)?;
    model.activate(&raw).iter().map(to_array).collect()
}

/// The tensor `[a, b, c, d]` as an array.
pub(crate) fn to_array(tensor: &Tensor) -> Result<Array4<f32>> {
    let flat = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    let [a, b, c, d] = tensor.size4()?.into();
    let shape = [a, b, c, d].map(|extent: i64| extent as usize);
    let values = Vec::<f32>::try_from(&flat)?;
    Ok(Array4::from_shape_vec(shape, values).expect("as many values as the shape says"))
}

fn update(metric: &mut dyn Metric, task: &str, output: &Array4<f32>, batch: &Batch) -> Result<()> {
    let output: ArrayView4<f32> = output.view();
    for (index, sample) in batch.samples.iter().enumerate() {
        if let Some(label) = sample.labels.get(task) {
            let prediction: ArrayView3<f32> = output.index_axis(Axis(0), index);
            metric.update(prediction, label.to_array().view())?;
        }
    }
    Ok(())
}
