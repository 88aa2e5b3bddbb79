//! The fields of a recipe.

use std::collections::BTreeMap;

use polyptych_adapters::AdapterConfig;
use polyptych_data::{AugmentConfig, LoaderConfig, OnBadSample, Sampling};
use polyptych_formats::pth::Choice;
use polyptych_heads::HeadConfig;
use polyptych_losses::LossConfig;
use polyptych_losses::balancers::BalancerRecipe;
use polyptych_tensor::{Precision, Pyramid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::row::CompareRecipe;
use super::runs::{ComposeRecipe, DistilRecipe, ExtendRecipe, ReplayRecipe, StageRecipe};
use super::source::SourceRecipe;
use super::text::TextRecipe;
use super::train::TrainRecipe;
use super::tune::TuneRecipe;
use super::union::UnionRecipe;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the run; the run folder is called after it.
    pub name: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// Seed of initial values, order, augmentation and dropout.
    pub seed: u64,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Type of activations and frozen weights.
    pub precision: Precision,
    /// File of baselines that delta-m compares with, relative to the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baselines: Option<String>,
    /// Name of the method in tables; the adapter's own, and whether it is per task, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Name of the stage that the recipe is of; a run in stages writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_name: Option<String>,
    /// Stages that train one after another. Each overrides some fields of the recipe, and the last
    /// one gives the result of the run. Absent: the run has one part, the recipe itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stage: Vec<StageRecipe>,
    /// The other rows of the recipe's table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<CompareRecipe>,
    /// How `cargo xtask reproduce --tune` chooses a learning rate for every row; `polyptych train`
    /// ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<TuneRecipe>,
    /// The trained run that gets more tasks; absent where all tasks learn from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend: Option<ExtendRecipe>,
    /// Finished runs from which the method takes parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeRecipe>,
    /// Finished runs that tasks learn from, beside labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distil: Option<DistilRecipe>,
    /// A memory of samples of earlier tasks to train on again. Absent: every sample of every task is
    /// used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayRecipe>,
    /// The network.
    pub backbone: BackboneRecipe,
    /// What is trained in it.
    pub adapter: AdapterConfig,
    /// The tower that reads texts, for tasks of retrieval; absent where no task is about texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextRecipe>,
    /// What it learns from.
    pub data: DataRecipe,
    /// What it learns, by the names of the data sets' tasks.
    pub tasks: BTreeMap<String, TaskRecipe>,
    /// Joins the tasks of one class per image in one space of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub union: Option<UnionRecipe>,
    /// How the tasks are weighted in each step. Absent: by the fixed factors `tasks.<name>.weight`
    /// alone. The balancer gets losses that these factors have multiplied already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancer: Option<BalancerRecipe>,
    /// How it learns.
    pub train: TrainRecipe,
}

/// The network of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackboneRecipe {
    /// timm's name of the architecture.
    pub name: String,
    /// A shipped `architecture.tag`, another of timm's names or any `hf-hub:OWNER/NAME` (from the
    /// hub or its cache), a file or folder (timm, Microsoft, TorchVision, Hugging Face, AugReg, MTLoRA,
    /// EMTAL; the content says which), the folder of a run or of a merged model, or `none`: random.
    pub weights: String,
    /// Which of several models in a file of weights is read: the key of a state dict, such as
    /// `student` or `state_dict`, or what stands before its names, such as `teacher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
    /// Whether weights averaged over training (`state_dict_ema`, `model_ema`, `teacher`) are read
    /// where a file has them, as in timm.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    #[schemars(extend("default" = true))]
    pub use_ema: bool,
    /// Whether to load heads from the weights too, where the file has heads for the recipe's tasks,
    /// as those of MTLoRA, EMTAL and runs do; `false` starts with new heads.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    #[schemars(extend("default" = true))]
    pub heads: bool,
    /// Largest rate of stochastic depth; rates rise linearly over the blocks.
    pub drop_path_rate: f64,
    /// Pixels along a side of a patch, for backbones of one resolution such as `flexivit_base`, made
    /// for 8 to 48; weights are resampled as in timm. That of the name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<i64>,
    /// Which activations the heads read: `after_blocks` of each stage, or `after_merging`, coarser
    /// by a factor of two. The method's own choice if absent: MTLoRA reads after merging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pyramid: Option<Pyramid>,
    /// Whether every task has its own copy of what the method trains in the backbone, as the
    /// "per task" rows of published tables have; one pass of the backbone per task. The copies
    /// read the same frozen weights and learn as in runs of their task alone: they begin with the
    /// same values, draw the same dropout, and each has its gradients clipped by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_task: bool,
    /// Whether all of the backbone trains, beside what the method trains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfreeze: bool,
    /// Gradient checkpointing: each block, and each patch merging of a Swin, stores only its inputs
    /// and is computed again in the backward pass. Uses less memory and more time; results are
    /// bit-equal on the CPU. timm's `--grad-checkpointing`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grad_checkpointing: bool,
}

impl BackboneRecipe {
    /// Which of several models in the file is read.
    pub(crate) fn choice(&self) -> Choice {
        Choice { use_ema: self.use_ema, key: self.weights_key.clone() }
    }
}

/// What a run learns from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Height and width that the network sees.
    pub img_size: [usize; 2],
    /// Images in one training step.
    pub batch_size: usize,
    /// Batches that are prefetched.
    pub prefetch: usize,
    /// Decoded samples that may stay in memory, in MiB; 0 keeps none.
    pub cache_mib: usize,
    /// How often each of several data sets is drawn from: `union`, in proportion to its size, or
    /// `per_dataset`, each as often as any other, or `shards`, in the order of files of many samples.
    #[serde(default)]
    pub sampling: Sampling,
    /// What to do with a training sample that cannot be read or does not fit its tasks: `stop`
    /// ends the run, `skip` leaves the sample out and counts it in `metrics.jsonl`. Evaluation always
    /// stops, because scores of a part of the samples cannot be compared.
    #[serde(default, skip_serializing_if = "OnBadSample::is_stop")]
    #[schemars(extend("default" = "stop"))]
    pub on_bad_sample: OnBadSample,
    /// Whether the same image may be in the training and the evaluation data. Refused by default,
    /// because the scores would not measure generalisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_overlap: bool,
    /// Mean of each channel, values in `[0, 1]`; ImageNet's if absent. AugReg ViTs have 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of each channel; ImageNet's if absent. AugReg ViTs have 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// Augmentation of training samples; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Data sets to train on; several make one set with partial labels.
    pub train: Vec<SourceRecipe>,
    /// Data sets that are measured on.
    pub eval: Vec<SourceRecipe>,
}

/// One task: its head, loss and weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRecipe {
    /// Factor on the task's loss.
    pub weight: f64,
    /// The head.
    pub head: HeadConfig,
    /// The loss; the reference's choice for the kind of task if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossConfig>,
    /// How many times coarser than the image the loss is computed, along a side: the head's own
    /// resolution or any other. Labels are resampled to it by their nearest pixels, as with
    /// mmsegmentation's option of this name, so it is for tasks of classes: `semseg`, `human_parts`
    /// and `sal`. Metrics and predictions stay at the size of the image. 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downsample_label_ratio: Option<usize>,
}

fn yes() -> bool {
    true
}

impl Recipe {
    /// What every image of the recipe goes through, training's additions aside.
    pub fn loader(&self, batch_size: usize) -> LoaderConfig {
        let plain = LoaderConfig::evaluation(batch_size, self.data.img_size);
        LoaderConfig {
            mean: self.data.mean.unwrap_or(plain.mean),
            std: self.data.std.unwrap_or(plain.std),
            ..plain
        }
    }

    /// The name of the method in tables.
    pub fn label(&self) -> String {
        let copies = if self.backbone.per_task { " per task" } else { "" };
        self.label.clone().unwrap_or_else(|| format!("{}{copies}", self.adapter.name()))
    }

    /// Whether `task` learns: all tasks do, or those by which a run is extended.
    pub fn learns(&self, task: &str) -> bool {
        self.extend.as_ref().is_none_or(|extend| extend.tasks.iter().any(|new| new == task))
    }

    /// Names of the tasks in the order of the task axis.
    pub fn task_names(&self) -> Vec<String> {
        self.tasks.keys().cloned().collect()
    }
}
