//! Classification tasks that learn together, in one space of labels.
//!
//! Every task keeps its own linear head; their logits, one task's behind the other's, are the
//! logits of the union. So a label is right only if it beats the classes of every task, no number
//! of classes is fixed, and a model serves any of its tasks alone.

use std::collections::BTreeMap;
use std::ops::Range;

use polyptych_data::{Batch, TaskKind, TaskSpec};
use polyptych_distributed::Ranks;
use polyptych_losses::{ClassRanges, CrossEntropy, QualityRetaining, TaskLoss};
use polyptych_tensor::{Device, Kind, Tensor, Tensors};

use crate::{Error, Recipe, Result, TaskRecipe};

/// The classes of a task among those of the union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnionRange {
    /// The task's own classes.
    pub own: Range<usize>,
    /// Number of classes of all tasks.
    pub num_classes: usize,
}

/// The classes of every task of `specs` that is part of the union, in the order of tasks.
///
/// # Errors
/// No task of one class per image.
pub(crate) fn ranges(recipe: &Recipe, specs: &[TaskSpec]) -> Result<Option<ClassRanges>> {
    if recipe.union.is_none() {
        return Ok(None);
    }
    let joined = specs.iter().filter(|spec| spec.kind == TaskKind::Classification);
    let counts: Vec<_> = joined.map(|spec| (spec.name.as_str(), spec.classes.len())).collect();
    let wrong = |key: String, reason: &str| {
        Err(Error::Recipe { origin: recipe.name.clone(), key, reason: reason.into() })
    };
    if counts.is_empty() {
        return wrong("union".into(), "expected a task of one class per image, found none");
    }
    let own_way = |task: &TaskRecipe| task.weight != 1.0 || task.loss.is_some();
    if let Some((name, _)) = counts.iter().find(|(name, _)| own_way(&recipe.tasks[*name])) {
        let reason = "expected weight 1 and no loss of its own: the union has both";
        return wrong(format!("tasks.{name}"), reason);
    }
    Ok(Some(ClassRanges::new(counts)?))
}

/// Positions of the tasks of `ranges` on the task axis.
pub(crate) fn joined(ranges: &ClassRanges, specs: &[TaskSpec]) -> Vec<usize> {
    let is_joined = |spec: &TaskSpec| ranges.iter().any(|(task, _)| task == spec.name);
    (0..specs.len()).filter(|&index| is_joined(&specs[index])).collect()
}

/// The loss of the union, with what it remembers.
#[derive(Debug)]
pub(crate) struct JointLabels {
    /// Positions of the joined tasks on the task axis.
    joined: Vec<usize>,
    ranges: ClassRanges,
    cross_entropy: CrossEntropy,
    quality_retaining: Option<QualityRetaining>,
}

/// What one batch gives.
pub(crate) struct JointLoss {
    /// float32 scalar: cross-entropy over all classes, plus the quality-retaining loss.
    pub(crate) total: Tensor,
    /// What is reported of each task.
    pub(crate) of_images: LossesOfImages,
    /// The quality-retaining loss.
    pub(crate) quality_retaining: Option<Tensor>,
}

/// Cross-entropy, without label smoothing, of each image that has a label.
#[derive(Debug)]
pub(crate) struct LossesOfImages {
    /// `[images]`, float32.
    pub(crate) losses: Tensor,
    /// Their classes among those of the union.
    classes: Vec<i64>,
    ranges: ClassRanges,
}

impl LossesOfImages {
    /// The mean of each task, where `losses` are the numbers of all; none without a label in the
    /// batch.
    pub(crate) fn by_task(&self, losses: &[f64]) -> BTreeMap<String, Option<f64>> {
        let mean = |range: &Range<usize>| {
            let all = self.classes.iter().zip(losses);
            let own = all.filter(|(class, _)| range.contains(&(**class as usize)));
            let (sum, count) = own.fold((0.0, 0u32), |(sum, count), (_, l)| (sum + l, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        self.ranges.iter().map(|(task, range)| (task.to_owned(), mean(&range))).collect()
    }
}

impl JointLabels {
    /// The union of the recipe's classification tasks, if it asks for one.
    ///
    /// # Errors
    /// A constant out of its range, or no task to join.
    pub(crate) fn new(recipe: &Recipe, specs: &[TaskSpec], device: Device) -> Result<Option<Self>> {
        let (Some(union), Some(ranges)) = (&recipe.union, ranges(recipe, specs)?) else {
            return Ok(None);
        };
        let joined = joined(&ranges, specs);
        let bank = |config| QualityRetaining::new(config, ranges.clone(), device);
        let quality_retaining = union.quality_retaining.map(bank).transpose()?;
        let smoothing = union.label_smoothing;
        let cross_entropy = CrossEntropy { label_smoothing: smoothing, ..CrossEntropy::default() };
        cross_entropy.validate()?;
        Ok(Some(Self { joined, ranges, cross_entropy, quality_retaining }))
    }

    /// Whether the task at `index` of the task axis is part of the union.
    pub(crate) fn joins(&self, index: usize) -> bool {
        self.joined.contains(&index)
    }

    /// The loss of one training batch, which the quality-retaining bank remembers.
    ///
    /// `outputs`: `[batch, classes]` of every task of the model. Images without a class in any
    /// task are left out. The loss and what is remembered are of the parts of all `ranks`, in their
    /// order; its graph is that of this rank's part.
    ///
    /// # Errors
    /// An image with a class in several tasks.
    pub(crate) fn forward(
        &mut self,
        ranks: &Ranks,
        outputs: &[Tensor],
        batch: &Batch,
    ) -> Result<JointLoss> {
        let classes = classes(&self.ranges, batch)?;
        let labelled: Vec<i64> = (0i64..)
            .zip(&classes)
            .filter(|(_, class)| class.is_some())
            .map(|(row, _)| row)
            .collect();
        let classes: Vec<i64> = classes.into_iter().flatten().map(|class| class as i64).collect();
        let logits = logits(outputs, &self.joined);
        let classes = ranks.gather_rows(&Tensor::from_slice(&classes))?;
        let classes = Vec::<i64>::try_from(&Tensor::cat(&classes, 0))?;
        let [rows, target] = indices_on(logits.device(), [labelled, classes.clone()])?;
        let logits = of_all_ranks(ranks, logits.index_select(0, &rows))?;
        let column = target.unsqueeze(1).to_kind(Kind::Float);
        let cross_entropy = self.cross_entropy.forward(&logits, &column)?.loss;
        let retained = match &mut self.quality_retaining {
            Some(bank) if !classes.is_empty() && may_remember(&cross_entropy) => {
                Some(bank.forward(&logits, &target)?.loss)
            }
            _ => None,
        };
        let of_images = self.of_images(&logits, &target, classes);
        let total = retained.as_ref().map_or(cross_entropy.shallow_clone(), |r| &cross_entropy + r);
        Ok(JointLoss { total, of_images, quality_retaining: retained })
    }

    fn of_images(&self, logits: &Tensor, target: &Tensor, classes: Vec<i64>) -> LossesOfImages {
        let log_p = logits.detach().log_softmax(1, Kind::Float);
        let losses = -log_p.gather(1, &target.unsqueeze(1), false).view([-1]);
        LossesOfImages { losses, classes, ranges: self.ranges.clone() }
    }

    /// What a resumed run needs.
    pub(crate) fn state(&self) -> Tensors {
        self.quality_retaining.as_ref().map_or_else(Tensors::new, QualityRetaining::state)
    }

    /// Goes on where [`JointLabels::state`] was taken.
    ///
    /// # Errors
    /// A bank of another number of classes.
    pub(crate) fn restore(&mut self, state: &Tensors) -> Result<()> {
        match &mut self.quality_retaining {
            Some(bank) => Ok(bank.restore(state)?),
            None => Ok(()),
        }
    }
}

/// Whether a bank may see the logits of this loss. One that met a number that is not finite would
/// never forget it; on a device it looks by itself, since nobody waits for the number there.
fn may_remember(cross_entropy: &Tensor) -> bool {
    let known = cross_entropy.device() == Device::Cpu;
    !known || cross_entropy.double_value(&[]).is_finite()
}

/// Indices below 2^24 as int64 tensors on `device`, in one copy that nobody waits for.
fn indices_on(device: Device, indices: [Vec<i64>; 2]) -> Result<[Tensor; 2]> {
    if device == Device::Cpu {
        return Ok(indices.map(|all| Tensor::from_slice(&all)));
    }
    let floats = indices.map(|all| all.iter().map(|&index| index as f32).collect::<Vec<f32>>());
    let joined = polyptych_kernels::upload(&[&floats[0], &floats[1]], device)?.to_kind(Kind::Int64);
    let first = floats[0].len() as i64;
    Ok([joined.narrow(0, 0, first), joined.narrow(0, first, floats[1].len() as i64)])
}

/// The rows of all ranks, in their order; those of this one keep their graph.
fn of_all_ranks(ranks: &Ranks, own: Tensor) -> Result<Tensor> {
    if !ranks.are_many() {
        return Ok(own);
    }
    let mut all = ranks.gather_rows(&own)?;
    all[ranks.rank()] = own;
    Ok(Tensor::cat(&all, 0))
}

/// The logits of the tasks at `joined`, one behind the other: `[batch, classes]`.
pub(crate) fn logits(outputs: &[Tensor], joined: &[usize]) -> Tensor {
    Tensor::cat(&joined.iter().map(|&index| &outputs[index]).collect::<Vec<_>>(), 1)
}

/// The class of every image of `batch` among those of the union.
fn classes(ranges: &ClassRanges, batch: &Batch) -> Result<Vec<Option<usize>>> {
    let mut classes = vec![None; batch.names.len()];
    for (task, range) in ranges.iter() {
        let labels = batch.targets[task].iter();
        for ((class, label), name) in classes.iter_mut().zip(labels).zip(&batch.names) {
            if label.is_nan() {
                continue;
            }
            if class.replace(range.start + *label as usize).is_some() {
                let (key, origin) = (format!("tasks.{task}"), name.clone());
                let reason = "expected a class in one task of the union, found two".into();
                return Err(Error::Recipe { origin, key, reason });
            }
        }
    }
    Ok(classes)
}
