//! How much do the tasks' gradients disagree, layer by layer?
//!
//! A measurement is one line of `metrics.jsonl`: `{"step": .., "conflict": {..}}`. Gradients are
//! those of the losses times the recipe's fixed weights, over shared trainable parameters.

use std::fs::File;
use std::path::Path;

use polyptych_losses::balancers::gradient::{Gram, gram_of_gradients};
use polyptych_tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::log::for_each_line;
use crate::error::io;
use crate::{Error, Result};

/// Name of the group of all shared parameters.
const ALL: &str = "all";

/// Conflict of the tasks that have labels in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Tasks, in the order of rows and columns.
    pub tasks: Vec<String>,
    /// All shared parameters, then each stage or block.
    pub groups: Vec<ConflictGroup>,
}

/// A line of the log, of which all else is passed over.
#[derive(Deserialize)]
struct Line {
    conflict: Option<Conflict>,
}

/// Conflict within one group of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictGroup {
    /// `all`, `layers.2` (a stage of a Swin) or `blocks.5` (a block of a ViT).
    pub group: String,
    /// Shared trainable numbers in it.
    pub parameters: i64,
    /// Length of each task's gradient.
    pub norms: Vec<f64>,
    /// Length of the row's gradient over that of the column's; none beside a length of 0.
    pub norm_ratios: Vec<Vec<Option<f64>>>,
    /// Cosines of the angles between gradients, in [-1, 1]; none beside a length of 0.
    pub cosines: Vec<Vec<Option<f64>>>,
    /// Largest over smallest eigenvalue of the Gram matrix; none if it is singular.
    pub condition: Option<f64>,
}

/// Which columns of the task gradients belong to which group of layers.
#[derive(Debug)]
pub(crate) struct Layout(Vec<(String, i64, i64)>);

impl Layout {
    /// Groups shared parameters, each with its name and length, in the order of columns.
    pub(crate) fn new<'a>(shared: impl IntoIterator<Item = (&'a str, i64)>) -> Self {
        let mut groups: Vec<(String, i64, i64)> = vec![(ALL.into(), 0, 0)];
        for (name, len) in shared {
            let (name, start) = (group_of(name), groups[0].2);
            groups[0].2 += len;
            match groups.last_mut() {
                Some((last, _, joint)) if *last == name => *joint += len,
                _ => groups.push((name, start, len)),
            }
        }
        Self(groups)
    }
}

/// `backbone.layers.2.blocks.1.mlp.fc1.lora_A` as `layers.2`.
fn group_of(name: &str) -> String {
    let name = name.strip_prefix("backbone.").unwrap_or(name);
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) if second.parse::<usize>().is_ok() => {
            format!("{first}.{second}")
        }
        (first, _) => first.unwrap_or(name).to_owned(),
    }
}

impl Conflict {
    /// Measures `gradients`, one for each of `tasks`.
    ///
    /// # Errors
    /// A gradient that is not finite.
    pub(crate) fn measure(tasks: Vec<String>, gradients: &Tensor, layout: &Layout) -> Result<Self> {
        let one = |(name, start, len): &(String, i64, i64)| {
            let gram = gram_of_gradients(&gradients.narrow(1, *start, *len))?;
            Ok(ConflictGroup::new(name.clone(), *len, &gram))
        };
        let groups = layout.0.iter().map(one).collect::<Result<_>>()?;
        Ok(Self { tasks, groups })
    }
}

impl ConflictGroup {
    fn new(group: String, parameters: i64, gram: &Gram) -> Self {
        let (norms, cosines) = (gram.norms(), gram.cosines());
        let matrix = |value: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<Option<f64>>> {
            let tasks = 0..norms.len();
            let known = |i: usize, j: usize| norms[i] > 0.0 && norms[j] > 0.0;
            let cell = |i, j| known(i, j).then(|| value(i, j));
            tasks.clone().map(|i| tasks.clone().map(|j| cell(i, j)).collect()).collect()
        };
        Self {
            group,
            parameters,
            norm_ratios: matrix(&|i, j| norms[i] / norms[j]),
            cosines: matrix(&|i, j| cosines[[i, j]]),
            condition: Some(gram.condition()).filter(|condition| condition.is_finite()),
            norms: norms.to_vec(),
        }
    }
}

/// Mean cosines of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanConflict {
    /// Measurements.
    pub count: usize,
    /// Tasks, in the order of rows and columns.
    pub tasks: Vec<String>,
    /// Each group's name and mean cosines; none for a pair that was never measured.
    pub groups: Vec<(String, Vec<Vec<Option<f64>>>)>,
}

impl MeanConflict {
    /// Reads the measurements of the run in `path`.
    ///
    /// # Errors
    /// A log that cannot be read or has no measurement.
    pub fn of_run(path: &Path) -> Result<Self> {
        let path = path.join("metrics.jsonl");
        let file = File::open(&path).map_err(io(&path))?;
        let mut measured: Vec<Conflict> = Vec::new();
        for_each_line(&file, |line| {
            let line: Option<Line> = serde_json::from_slice(line).ok();
            measured.extend(line.and_then(|line| line.conflict));
        })
        .map_err(io(&path))?;
        if measured.is_empty() {
            let reason = "expected lines of `conflict`, found none; a recipe asks for them by \
                          train.conflict_every"
                .into();
            return Err(Error::Run { path, reason });
        }
        Ok(Self::of(&measured))
    }

    /// Means over the measurements in which both tasks have labels.
    pub fn of(measured: &[Conflict]) -> Self {
        let mut tasks: Vec<String> = measured.iter().flat_map(|c| c.tasks.clone()).collect();
        tasks.sort();
        tasks.dedup();
        let mut groups: Vec<String> = Vec::new();
        for group in measured.iter().flat_map(|conflict| &conflict.groups) {
            if !groups.contains(&group.group) {
                groups.push(group.group.clone());
            }
        }
        let matrix = |group: &String| -> Vec<Vec<Option<f64>>> {
            let row =
                |one: &String| tasks.iter().map(|two| mean(measured, group, one, two)).collect();
            tasks.iter().map(row).collect()
        };
        let means = groups.iter().map(|group| (group.clone(), matrix(group))).collect();
        Self { count: measured.len(), tasks: tasks.clone(), groups: means }
    }
}

fn mean(measured: &[Conflict], group: &str, one: &str, two: &str) -> Option<f64> {
    let cosine = |conflict: &Conflict| {
        let place = |name: &str| conflict.tasks.iter().position(|task| task == name);
        let found = conflict.groups.iter().find(|found| found.group == group)?;
        *found.cosines.get(place(one)?)?.get(place(two)?)?
    };
    let cosines: Vec<f64> = measured.iter().filter_map(cosine).collect();
    (!cosines.is_empty()).then(|| cosines.iter().sum::<f64>() / cosines.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(tasks: &[&str], rows: &[f32], columns: i64) -> Conflict {
        let rows = Tensor::from_slice(rows).view([tasks.len() as i64, columns]);
        let layout = Layout(vec![(ALL.into(), 0, columns), ("layers.0".into(), 1, columns - 1)]);
        let tasks = tasks.iter().map(|&task| task.to_owned()).collect();
        Conflict::measure(tasks, &rows, &layout).unwrap()
    }

    #[test]
    fn layers_fall_into_stages_and_blocks() {
        for (name, group) in [
            ("backbone.layers.2.blocks.1.mlp.fc1.lora_A", "layers.2"),
            ("backbone.blocks.11.attn.qkv.weight", "blocks.11"),
            ("backbone.patch_embed.proj.weight", "patch_embed"),
            ("backbone.cls_token", "cls_token"),
        ] {
            assert_eq!(group_of(name), group);
        }
    }

    #[test]
    fn numbers_are_those_of_the_rows() {
        let found = conflict(&["a", "b"], &[3.0, 4.0, 0.0, 2.0], 2);
        let all = &found.groups[0];
        assert_eq!((all.norms.clone(), all.parameters), (vec![5.0, 2.0], 2));
        assert!((all.cosines[0][1].unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(all.norm_ratios, [[Some(1.0), Some(2.5)], [Some(0.4), Some(1.0)]]);
        // G = [[25, 8], [8, 4]] has eigenvalues (29 +- sqrt(697)) / 2.
        let root = 697f64.sqrt();
        assert!((all.condition.unwrap() - (29.0 + root) / (29.0 - root)).abs() < 1e-9);
        let parallel = &found.groups[1];
        assert_eq!((parallel.cosines[0][1], parallel.condition), (Some(1.0), None));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Conflict>(&json).unwrap(), found);
        let still = conflict(&["a", "b"], &[0.0, 0.0, 1.0, 1.0], 2);
        let [first, second] = &still.groups[0].cosines[..] else { panic!("two tasks") };
        assert_eq!((&first[..], second[0]), (&[None, None][..], None));
        assert!((second[1].unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn means_are_over_steps_that_have_both_tasks() {
        let steps = [
            conflict(&["a", "b"], &[1.0, 0.0, 1.0, 0.0], 2),
            conflict(&["a", "b"], &[1.0, 0.0, 0.0, 1.0], 2),
            conflict(&["b"], &[1.0, 0.0], 2),
        ];
        let mean = MeanConflict::of(&steps);
        assert_eq!((mean.count, &mean.tasks[..]), (3, &["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(mean.groups[0].1, [[Some(1.0), Some(0.5)], [Some(0.5), Some(1.0)]]);
    }

    #[test]
    fn a_run_without_measurements_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), "{\"step\":1}\n").unwrap();
        let message = MeanConflict::of_run(folder.path()).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl: expected lines of `conflict`, found none"));
        let message = MeanConflict::of_run(&folder.path().join("no")).unwrap_err().to_string();
        assert!(message.contains("no/metrics.jsonl: "), "{message}");
    }
}
