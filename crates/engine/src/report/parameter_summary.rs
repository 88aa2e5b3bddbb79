//! How many parameters there are, which train, and what is stored.

use std::collections::BTreeMap;
use std::fmt;

use polyptych_adapters::{Form, is_method_parameter};
use polyptych_tensor::{Device, Kind, Role, Tensor};
use serde::Serialize;

use crate::recipe::balancer::num_buffers;
use crate::training::balance::parameter_sharing::ParameterSharing;
use crate::{DataSets, Model, Recipe, Result};

/// Counts of one group of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterGroup {
    /// `backbone`, `backbone, adapter`, `heads.<task>`, `decoder`, which heads share, or, for a task's own copies, `tasks.<task>`
    /// and `tasks.<task>, adapter`.
    pub group: String,
    /// Parameters.
    pub total: i64,
    /// Parameters that train.
    pub trainable: i64,
    /// Numbers in a checkpoint: parameters and buffers.
    pub stored: i64,
}

/// Counts of all groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterSummary {
    /// Groups in the order of their names, without the total.
    pub rows: Vec<ParameterGroup>,
    /// Parameters that are kept for compatible files although no output depends on them.
    pub unused: Vec<(String, i64)>,
    /// What a gradient aggregator, or a measurement of conflict, holds beside the model.
    #[serde(rename = "row_buffer", skip_serializing_if = "Option::is_none")]
    pub gradient_buffer: Option<TaskGradientBuffer>,
}

/// Room for one gradient per task over the shared trainable parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TaskGradientBuffer {
    /// Batches whose rows are held at a time: 3 for SDMGrad, else 1.
    pub buffers: i64,
    /// Rows.
    pub tasks: i64,
    /// Trainable numbers that two tasks or more share.
    pub shared: i64,
    /// `buffers x tasks x shared x 4`: the rows are float32.
    pub bytes: i64,
}

impl ParameterSummary {
    /// Counts the parameters of the model that `recipe` makes, on the CPU; the data need not be
    /// there where manifests name the classes.
    ///
    /// # Errors
    /// A recipe whose tasks, backbone, adapter or heads do not exist or do not fit.
    pub fn of_recipe(recipe: &Recipe) -> Result<Self> {
        let specs = DataSets::describe(recipe)?;
        let model = Model::new(recipe, &specs, Form::Adapted, Device::Cpu)?;
        let gradient_buffer = match num_buffers(recipe) as i64 {
            0 => None,
            buffers => Some(TaskGradientBuffer::of(&model, recipe.data.img_size, buffers)?),
        };
        Ok(Self { gradient_buffer, ..Self::of(&model) })
    }

    /// Counts the parameters of `model`.
    pub fn of(model: &Model) -> Self {
        let mut rows: BTreeMap<String, ParameterGroup> = BTreeMap::new();
        let mut unused = Vec::new();
        model.store.for_each(|name, entry| {
            let group = group_of(name);
            let row = rows.entry(group.clone()).or_insert_with(|| ParameterGroup::empty(group));
            let count = entry.tensor.numel() as i64;
            let parameter = entry.role == Role::Parameter;
            row.stored += count;
            row.total += if parameter { count } else { 0 };
            row.trainable += if entry.tensor.requires_grad() { count } else { 0 };
            if entry.unused {
                unused.push((name.to_owned(), count));
            }
        });
        Self { rows: rows.into_values().collect(), unused, gradient_buffer: None }
    }

    /// The sum of all groups.
    pub fn total(&self) -> ParameterGroup {
        let add = |mut sum: ParameterGroup, row: &ParameterGroup| {
            sum.total += row.total;
            sum.trainable += row.trainable;
            sum.stored += row.stored;
            sum
        };
        self.rows.iter().fold(ParameterGroup::empty("all".into()), add)
    }
}

impl TaskGradientBuffer {
    /// Follows every task's output for an image of `size` back to the parameters of `model`.
    fn of(model: &Model, size: [usize; 2], buffers: i64) -> Result<Self> {
        let shape = [1, 3, size[0] as i64, size[1] as i64];
        let images = Tensor::rand(shape, (Kind::Float, Device::Cpu));
        let shared = ParameterSharing::find(model, &model.store.trainable(), &images)?.columns();
        let tasks = model.tasks.len() as i64;
        Ok(Self { buffers, tasks, shared, bytes: buffers * tasks * shared * 4 })
    }
}

impl ParameterGroup {
    fn empty(group: String) -> Self {
        Self { group, total: 0, trainable: 0, stored: 0 }
    }
}

impl fmt::Display for ParameterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>14} {:>14} {:>14}", "group", "total", "trainable", "stored")?;
        let total = self.total();
        for row in self.rows.iter().chain([&total]) {
            let counts = [row.total, row.trainable, row.stored].map(grouped);
            writeln!(f, "{:<28} {:>14} {:>14} {:>14}", row.group, counts[0], counts[1], counts[2])?;
        }
        self.unused.iter().try_for_each(|(name, count)| {
            writeln!(
                f,
                "unused: {name} ({}): kept for compatible files, never trained",
                grouped(*count)
            )
        })?;
        self.gradient_buffer.iter().try_for_each(|buffer| {
            let [shared, bytes] = [buffer.shared, buffer.bytes].map(grouped);
            let batches = match buffer.buffers {
                1 => String::new(),
                several => format!("{several} batches x "),
            };
            writeln!(
                f,
                "gradient buffer: {batches}{} tasks x {shared} shared x 4 bytes = {bytes} bytes",
                buffer.tasks
            )
        })
    }
}

fn group_of(name: &str) -> String {
    let task_of = |scope: &str| name.strip_prefix(scope)?.split_once('.');
    if let Some((task, _)) = task_of("heads.") {
        return format!("heads.{task}");
    }
    if name.starts_with("decoder.") {
        return "decoder".into();
    }
    let (group, rest) = match task_of("tasks.") {
        Some((task, rest)) => (format!("tasks.{task}"), rest),
        None => ("backbone".into(), name),
    };
    if is_method_parameter(rest) { format!("{group}, adapter") } else { group }
}

/// `34262906` as `34,262,906`.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_groups() {
        for (name, group) in [
            ("backbone.layers.0.blocks.1.mlp.fc1.weight", "backbone"),
            ("backbone.layers.0.blocks.1.mlp.fc1.lora_shared_A", "backbone, adapter"),
            ("backbone.blocks.3.mlp.vmt_ke.depth.bias", "backbone, adapter"),
            ("heads.depth.classifier.weight", "heads.depth"),
            ("decoder.fuse.weight", "decoder"),
            ("backbone.adapter_phm_rule", "backbone, adapter"),
            ("tasks.depth.backbone.blocks.3.attn.qkv.bias", "tasks.depth"),
            ("tasks.depth.backbone.blocks.3.attn.qkv.lora_A.weight", "tasks.depth, adapter"),
        ] {
            assert_eq!(group_of(name), group);
        }
    }

    #[test]
    fn counts_are_read_in_thousands() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (34_262_906, "34,262,906")];
        cases.into_iter().for_each(|(number, text)| assert_eq!(grouped(number), text));
    }

    #[test]
    fn the_table_ends_with_the_sum() {
        let row = |group: &str, trainable| ParameterGroup {
            group: group.into(),
            total: 1000,
            trainable,
            stored: 1001,
        };
        let rows = vec![row("backbone", 0), row("heads.depth", 1000)];
        let gradient_buffer =
            Some(TaskGradientBuffer { buffers: 1, tasks: 2, shared: 1000, bytes: 8000 });
        let summary =
            ParameterSummary { rows, unused: vec![("backbone.x".into(), 12)], gradient_buffer };
        assert_eq!(
            summary.total(),
            ParameterGroup { total: 2000, stored: 2002, ..row("all", 1000) }
        );
        let text = summary.to_string();
        let words: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[3], ["all", "2,000", "1,000", "2,002"]);
        assert_eq!(words[4][..3], ["unused:", "backbone.x", "(12):"]);
        let last = text.lines().last();
        assert_eq!(last, Some("gradient buffer: 2 tasks x 1,000 shared x 4 bytes = 8,000 bytes"));
    }
}
