//! What a run tells of itself: its preparation, every step, and how it ended.

use std::collections::BTreeMap;
use std::time::Instant;

use polyptych_adapters::ExpertLayer;
use polyptych_tensor::LoadReport;
use serde::Serialize;

use crate::Evaluation;
use crate::training::log::SamplePicture;
use crate::training::ranks::RankReport;

/// What a training step was like.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Weighted sum of the losses, before gradients are combined; none, `null` in the log, where
    /// the batch has no label of any task.
    pub loss: Option<f64>,
    /// Loss of every task, not weighted; none, `null` in the log, where the batch has no label of
    /// the task. A loss that is not finite is `null` in the log too, and the step is `skipped`.
    pub losses: BTreeMap<String, Option<f64>>,
    /// The method's own term, which `loss` lacks; none where it has no such term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// What outputs and features differ by from those of teachers, times its factors; none without
    /// `[distil]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<f64>,
    /// Joint norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Wall time of the step, its data included.
    pub wall_ms: f64,
    /// Whether the step was skipped because a number was not finite.
    pub skipped: bool,
    /// What the losses were multiplied by in the backward pass; none where `precision` needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// What the balancer made of every task that has labels: its factor on the loss, or on the
    /// task's gradient. Empty without a balancer, and where it makes a direction of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Samples that the batch went without, because they are bad.
    #[serde(skip_serializing_if = "is_zero")]
    pub bad_samples: usize,
    /// What is wrong with each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_sample_errors: Vec<String>,
    /// What the processes of the run say of it; none where there is one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RankReport>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Who watches a run, and may stop it.
pub trait Observer {
    /// A step is done.
    fn step(&mut self, report: &StepReport, steps: u64);

    /// `done` of the `batches` of an evaluation are done.
    fn evaluating(&mut self, _done: usize, _batches: usize) {}

    /// An evaluation is done.
    fn evaluated(&mut self, step: u64, evaluation: &Evaluation);

    /// Whether pictures of samples are wanted at evaluations.
    fn wants_samples(&self) -> bool {
        false
    }

    /// Samples at the evaluation behind `step`, before [`Observer::evaluated`].
    fn samples(&mut self, _step: u64, _samples: &[SamplePicture]) {}

    /// Asked after every step: whether to save and leave.
    fn stop(&self) -> bool;
}

/// How a call of [`Trainer::run`](crate::Trainer::run) ended.
#[derive(Debug)]
pub struct TrainOutcome {
    /// Whether all steps are done and measured, or the observer stopped the run, be it after the
    /// last step.
    pub finished: bool,
    /// Steps done.
    pub step: u64,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
}

/// What was done before the first step.
#[derive(Debug)]
pub struct Preparation {
    /// Where the backbone's values came from; none for random ones.
    pub weights: Option<LoadReport>,
    /// What came from the run that is extended, if one is.
    pub extended: Option<LoadReport>,
    /// The experts that were found in it, for methods that have them.
    pub experts: Vec<ExpertLayer>,
}

/// Milliseconds since `started`, which becomes now.
pub(super) fn lap(started: &mut Instant) -> f64 {
    let since = std::mem::replace(started, Instant::now());
    since.elapsed().as_secs_f64() * 1e3
}
