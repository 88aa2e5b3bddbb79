//! The table `train` of a recipe.

use std::collections::BTreeMap;

use polyptych_tensor::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::optimiser::OptimiserRecipe;

/// How a run learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Number of steps.
    pub steps: u64,
    /// Steps between evaluations; the last step is always evaluated.
    pub eval_every: u64,
    /// Steps between checkpoints; the last step is always saved.
    pub save_every: u64,
    /// Newest checkpoints that are kept, beside the best one.
    #[serde(default = "default_save_total_limit")]
    pub save_total_limit: usize,
    /// Number of consecutive steps with NaN or infinite values to skip before the run stops. With
    /// `precision = "fp16"` a step whose gradients overflow is skipped too, but counts only once the
    /// loss scale is below 1.
    #[serde(default = "default_max_skipped")]
    pub max_skipped: u64,
    /// Steps between measurements of gradient conflict between tasks, written to `metrics.jsonl`.
    /// Absent: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_every: Option<u64>,
    /// Whether the folder of the run gets TensorBoard's event files.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    #[schemars(extend("default" = true))]
    pub tensorboard: bool,
    /// Base learning rate.
    pub lr: f64,
    /// Factors on the learning rate of parameters by patterns of their names, for example
    /// `{ "*attempt_prompts*" = 100.0 }`. Each pattern must fit a trainable parameter, and no two the
    /// same one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lr_scale: BTreeMap<String, f64>,
    /// Gradient accumulation: number of parts that a batch is split into. Uses less memory for the
    /// same gradients; batch normalisation and dropout work on each part.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Whether batch normalisation takes its statistics over the parts of all processes, as
    /// PyTorch's `SyncBatchNorm`; each process takes those of its own part otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync_batch_norm: bool,
    /// Weight decay of matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this total norm where theirs is larger, as by PyTorch's
    /// `clip_grad_norm_`.
    pub clip_grad_norm: f64,
    /// The optimiser.
    pub optimiser: OptimiserRecipe,
    /// Shape of the learning rate.
    pub schedule: Schedule,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

fn yes() -> bool {
    true
}

fn default_save_total_limit() -> usize {
    2
}

fn default_max_skipped() -> u64 {
    10
}
