//! Configuration of MTLoRA, with the names of the published configuration in PEFT's spelling.

use std::collections::BTreeMap;

use polyptych_tensor::{Error as TensorError, Result as TensorResult, Site, SiteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::per_stage::PerStage;
use crate::blocks::body::Frozen;
use crate::error::{Result, config};
use crate::methods::lora::Bias;

/// How the shared output and the task outputs of a layer are made, with `p = W x + b`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharedMode {
    /// Shared: `p + s B A x`; task: `p + s_t B_t A_t x_t`.
    #[default]
    Matrix,
    /// Shared: `p + s B A x`; task: `p + s B A x + s_t B_t A_t x_t`.
    Matrixv2,
    /// Shared: `p + LayerNorm(sum_t y_t)`, without shared factors; task: `y_t` as in `matrix`.
    /// The only mode that does not start as the plain layer, as the normalised sum is not zero.
    Addition,
    /// Shared: `p + s B A x`; no task outputs: every head reads the shared stream.
    LoraOnly,
}

/// Configuration of MTLoRA. Ranks, scales and dropout are one number for all stages or, as in the
/// published files, a list with one number per stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MtLoraConfig {
    /// Rank of the shared factors.
    pub r: PerStage<i64>,
    /// Rank of each task's factors; a task that is not named takes `r`.
    #[serde(default)]
    pub r_per_task: BTreeMap<String, PerStage<i64>>,
    /// Factor on the shared low-rank term, not divided by the rank.
    #[serde(default = "default_scale")]
    pub scale: PerStage<f64>,
    /// Factor on each task's low-rank term; a task that is not named takes `scale`.
    #[serde(default)]
    pub scale_per_task: BTreeMap<String, PerStage<f64>>,
    /// Whether the scales are trainable, one number per layer and stream, from the values above on.
    #[serde(default)]
    pub learnable_scale: bool,
    /// How outputs are made.
    #[serde(default)]
    pub shared_mode: SharedMode,
    /// Probability with which an input of the shared factors is set to zero in training.
    #[serde(default = "default_dropout")]
    pub lora_dropout: PerStage<f64>,
    /// Whether `attn.qkv` is adapted.
    #[serde(default = "yes")]
    pub qkv: bool,
    /// Whether `attn.proj` is adapted.
    #[serde(default = "yes")]
    pub proj: bool,
    /// Whether `mlp.fc1` is adapted.
    #[serde(default = "yes")]
    pub fc1: bool,
    /// Whether `mlp.fc2` is adapted.
    #[serde(default = "yes")]
    pub fc2: bool,
    /// Whether patch merging is adapted by factors (MTLoRA+) instead of trained (MTLoRA).
    #[serde(default)]
    pub downsampler: bool,
    /// Keeps the patch embedding, its normalisation included, as it was.
    #[serde(default)]
    pub freeze_patch_embed: bool,
    /// Keeps the normalisation layers as they were, that of the patch embedding included.
    #[serde(default)]
    pub freeze_norm: bool,
    /// Keeps the relative-position tables as they were.
    #[serde(default)]
    pub freeze_relative_position_bias: bool,
    /// Keeps the matrices of patch merging as they were.
    #[serde(default)]
    pub freeze_downsample_reduction: bool,
    /// Which biases train.
    #[serde(default)]
    pub bias: Bias,
}

fn default_scale() -> PerStage<f64> {
    4.0.into()
}

fn default_dropout() -> PerStage<f64> {
    0.05.into()
}

fn yes() -> bool {
    true
}

impl MtLoraConfig {
    /// The published defaults with shared rank `r` and rank `r_task` for each of `tasks`.
    pub fn new(r: i64, r_task: i64, tasks: &[String]) -> Self {
        Self {
            r: r.into(),
            r_per_task: tasks.iter().map(|task| (task.clone(), r_task.into())).collect(),
            scale: default_scale(),
            scale_per_task: BTreeMap::new(),
            learnable_scale: false,
            shared_mode: SharedMode::Matrix,
            lora_dropout: default_dropout(),
            qkv: true,
            proj: true,
            fc1: true,
            fc2: true,
            downsampler: false,
            freeze_patch_embed: false,
            freeze_norm: false,
            freeze_relative_position_bias: false,
            freeze_downsample_reduction: false,
            bias: Bias::None,
        }
    }

    /// What of the backbone stays as it was.
    pub(super) fn frozen(&self) -> Frozen {
        Frozen {
            patch_embed: self.freeze_patch_embed,
            norm: self.freeze_norm,
            relative_position_bias: self.freeze_relative_position_bias,
            downsample_reduction: self.downsampler || self.freeze_downsample_reduction,
        }
    }

    /// Checks every field against `tasks`.
    ///
    /// # Errors
    /// The first field that is out of range, names an absent task, or would drop task streams.
    pub fn validate(&self, tasks: &[String]) -> Result<()> {
        self.validate_tasks(tasks)?;
        for (key, ranks) in self.ranks() {
            if let Some(r) = ranks.values().iter().find(|r| **r < 1) {
                return Err(config(key, "at least 1", r));
            }
        }
        for (key, scales) in self.scales() {
            if let Some(scale) = scales.values().iter().find(|scale| !scale.is_finite()) {
                return Err(config(key, "a finite number", scale));
            }
        }
        let rate = self.lora_dropout.values().iter().find(|rate| !(0.0..1.0).contains(*rate));
        if let Some(rate) = rate {
            return Err(config("lora_dropout", "at least 0 and below 1", rate));
        }
        self.validate_lists()?;
        let streams = self.shared_mode != SharedMode::LoraOnly;
        if streams && !(self.proj && self.fc1 && self.fc2) {
            let expected = "proj, fc1 and fc2 all adapted, or shared_mode = \"lora_only\"";
            let found = format!("proj = {}, fc1 = {}, fc2 = {}", self.proj, self.fc1, self.fc2);
            return Err(config("proj, fc1, fc2", expected, found));
        }
        Ok(())
    }

    /// Ranks by key.
    fn ranks(&self) -> impl Iterator<Item = (String, &PerStage<i64>)> {
        let tasks = self.r_per_task.iter().map(|(task, r)| (format!("r_per_task.{task}"), r));
        std::iter::once(("r".to_owned(), &self.r)).chain(tasks)
    }

    /// Scales by key.
    fn scales(&self) -> impl Iterator<Item = (String, &PerStage<f64>)> {
        let named = |(task, scale)| (format!("scale_per_task.{task}"), scale);
        let tasks = self.scale_per_task.iter().map(named);
        std::iter::once(("scale".to_owned(), &self.scale)).chain(tasks)
    }

    /// Every list by key, and how long it is.
    fn lists(&self) -> impl Iterator<Item = (String, usize)> {
        let ranks = self.ranks().filter_map(|(key, r)| Some((key, r.stages()?)));
        let scales = self.scales().filter_map(|(key, scale)| Some((key, scale.stages()?)));
        let dropout = self.lora_dropout.stages().map(|count| ("lora_dropout".to_owned(), count));
        ranks.chain(scales).chain(dropout)
    }

    fn validate_lists(&self) -> Result<()> {
        let Some((first, stages)) = self.lists().next() else { return Ok(()) };
        let expected = format!("one number per stage, {} as in {first}", stages.max(1));
        match self.lists().find(|(_, count)| *count != stages || *count == 0) {
            None => Ok(()),
            Some((key, count)) => Err(config(key, expected, format!("{count} numbers"))),
        }
    }

    /// Refuses lists that are not of the backbone's stages, as far as `site` tells their number.
    pub(super) fn check_stages(&self, site: &Site) -> TensorResult<()> {
        let at_least = site.stage + 1;
        let wrong = |count: &usize| *count < at_least || site.last_stage && *count != at_least;
        let Some((key, count)) = self.lists().find(|(_, count)| wrong(count)) else {
            return Ok(());
        };
        let more = if site.last_stage { "" } else { " or more" };
        let expected = format!("one number per stage of the backbone, {at_least}{more}");
        Err(TensorError::Config { key, expected, found: format!("{count} numbers") })
    }

    fn validate_tasks(&self, tasks: &[String]) -> Result<()> {
        if tasks.is_empty() {
            return Err(config("tasks", "at least one task", "none"));
        }
        let ranks = self.r_per_task.keys().map(|task| ("r_per_task", task));
        let scales = self.scale_per_task.keys().map(|task| ("scale_per_task", task));
        match ranks.chain(scales).find(|(_, task)| !tasks.contains(task)) {
            Some((key, task)) => {
                Err(config(format!("{key}.{task}"), format!("one of {}", tasks.join(", ")), task))
            }
            None => Ok(()),
        }
    }

    pub(super) fn adapts(&self, kind: SiteKind) -> bool {
        match kind {
            SiteKind::Qkv => self.qkv,
            SiteKind::Proj => self.proj,
            SiteKind::Fc1 => self.fc1,
            SiteKind::Fc2 => self.fc2,
            SiteKind::Reduction => self.downsampler,
            SiteKind::Mlp | SiteKind::Block => false,
        }
    }

    /// Rank of the shared factors in `stage`. Lists are as long as the backbone has stages, see
    /// [`MtLoraConfig::check_stages`]; so here and below nothing is ever missing.
    pub(crate) fn shared_r(&self, stage: usize) -> i64 {
        self.r.of(stage).unwrap_or(1)
    }

    pub(super) fn task_r(&self, task: &str, stage: usize) -> i64 {
        let own = self.r_per_task.get(task).and_then(|r| r.of(stage));
        own.unwrap_or_else(|| self.shared_r(stage))
    }

    pub(crate) fn shared_scale(&self, stage: usize) -> f64 {
        self.scale.of(stage).unwrap_or(1.0)
    }

    pub(super) fn task_scale(&self, task: &str, stage: usize) -> f64 {
        let own = self.scale_per_task.get(task).and_then(|scale| scale.of(stage));
        own.unwrap_or_else(|| self.shared_scale(stage))
    }

    pub(crate) fn dropout(&self, stage: usize) -> f64 {
        self.lora_dropout.of(stage).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tasks() -> Vec<String> {
        ["semseg", "normals"].map(str::to_owned).to_vec()
    }

    fn config_with(key: &str, value: Value) -> MtLoraConfig {
        let mut fields = json!({"r": 4});
        fields[key] = value;
        serde_json::from_value(fields).unwrap()
    }

    fn message(key: &str, value: Value) -> String {
        config_with(key, value).validate(&tasks()).unwrap_err().to_string()
    }

    #[test]
    fn fields_out_of_range_are_named() {
        assert_eq!(message("r", json!(0)), "r: expected at least 1, found 0");
        assert_eq!(
            message("r_per_task", json!({"normals": 0})),
            "r_per_task.normals: expected at least 1, found 0"
        );
        assert_eq!(
            message("lora_dropout", json!(1.0)),
            "lora_dropout: expected at least 0 and below 1, found 1"
        );
    }

    #[test]
    fn absent_tasks_are_named() {
        assert_eq!(
            message("r_per_task", json!({"depth": 2})),
            "r_per_task.depth: expected one of semseg, normals, found depth"
        );
        assert_eq!(
            message("scale_per_task", json!({"depth": 2.0})),
            "scale_per_task.depth: expected one of semseg, normals, found depth"
        );
        let none = config_with("r", json!(4)).validate(&[]).unwrap_err().to_string();
        assert_eq!(none, "tasks: expected at least one task, found none");
    }

    #[test]
    fn sites_that_would_drop_task_streams_are_refused() {
        let expected = "proj, fc1, fc2: expected proj, fc1 and fc2 all adapted, or \
                        shared_mode = \"lora_only\", found ";
        for (key, found) in [
            ("proj", "proj = false, fc1 = true, fc2 = true"),
            ("fc1", "proj = true, fc1 = false, fc2 = true"),
            ("fc2", "proj = true, fc1 = true, fc2 = false"),
        ] {
            assert_eq!(message(key, json!(false)), format!("{expected}{found}"));
            let shared_mode = SharedMode::LoraOnly;
            let shared = MtLoraConfig { shared_mode, ..config_with(key, json!(false)) };
            shared.validate(&tasks()).unwrap();
        }
        config_with("qkv", json!(false)).validate(&tasks()).unwrap();
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let read: MtLoraConfig =
            serde_json::from_value(json!({"r": 16, "r_per_task": {"semseg": 4, "normals": 4}}))
                .unwrap();
        assert_eq!(read, MtLoraConfig::new(16, 4, &tasks()));
        assert_eq!((&read.scale, &read.lora_dropout), (&4.0.into(), &0.05.into()));
        assert_eq!(read.shared_mode, SharedMode::Matrix);
        let of =
            |task: &str| (config_with("r", json!(3)).task_r(task, 0), read.task_scale(task, 0));
        assert_eq!(of("semseg"), (3, 4.0));
    }

    #[test]
    fn lists_name_one_number_per_stage() {
        let fields = json!({
            "r": [64, 32], "r_per_task": {"semseg": [4, 8], "normals": 2},
            "scale": [4.0, 1.0], "scale_per_task": {"normals": [0.5, 0.25]},
            "lora_dropout": [0.05, 0.1],
        });
        let config: MtLoraConfig = serde_json::from_value(fields.clone()).unwrap();
        config.validate(&tasks()).unwrap();
        let written = serde_json::to_value(&config).unwrap();
        assert!(fields.as_object().unwrap().iter().all(|(key, value)| written[key] == *value));
        let of = |stage| (config.shared_r(stage), config.task_r("semseg", stage));
        assert_eq!([of(0), of(1)], [(64, 4), (32, 8)]);
        assert_eq!((config.task_r("normals", 1), config.dropout(1)), (2, 0.1));
        let scales = |stage| ["semseg", "normals"].map(|task| config.task_scale(task, stage));
        assert_eq!([scales(0), scales(1)], [[4.0, 0.5], [1.0, 0.25]]);
    }

    #[test]
    fn lists_of_other_lengths_are_refused() {
        assert_eq!(message("r", json!([4, 0])), "r: expected at least 1, found 0");
        assert_eq!(
            message("r", json!([])),
            "r: expected one number per stage, 1 as in r, found 0 numbers"
        );
        let config: MtLoraConfig =
            serde_json::from_value(json!({"r": [4, 4], "scale": [1.0]})).unwrap();
        assert_eq!(
            config.validate(&tasks()).unwrap_err().to_string(),
            "scale: expected one number per stage, 2 as in r, found 1 numbers"
        );
    }
}
