//! One task of a run: what the data say of it, joined with its head, loss and metric.

use polyptych_data::{TaskKind, TaskSpec};
use polyptych_losses::{
    BalancedBce, CrossEntropy, L1, LossConfig, MultiLabelBce, NormalsL1, TaskLoss, WeightedBce,
};
use polyptych_metrics::{
    Depth, Edges, EdgesConfig, MeanAveragePrecision, Metric, Normals, Saliency, SemsegIou, TopK,
};
use polyptych_tensor::{Kind, Tensor};

use crate::{Result, TaskRecipe};

/// Thresholds of the boundary measure while a run is followed; the benchmark's 99 change it in the
/// second decimal.
const EDGE_THRESHOLDS: usize = 20;

/// One task of a run.
#[derive(Debug)]
pub struct Task {
    /// Name, kind and classes.
    pub spec: TaskSpec,
    /// Head, loss and weight as the recipe has them.
    pub recipe: TaskRecipe,
    /// The loss.
    pub loss: Box<dyn TaskLoss>,
}

impl Task {
    /// Joins what data and recipe say of a task.
    ///
    /// # Errors
    /// A loss whose constants are out of range.
    pub fn new(spec: TaskSpec, recipe: TaskRecipe) -> Result<Self> {
        let loss = recipe.loss.unwrap_or_else(|| default_loss(spec.kind)).init()?;
        Ok(Self { spec, recipe, loss })
    }

    /// An empty metric for the task.
    ///
    /// # Errors
    /// A task with fewer classes than its metric can count.
    pub fn metric(&self) -> Result<Box<dyn Metric>> {
        let classes = self.spec.classes.len();
        let edges = EdgesConfig { num_thresholds: EDGE_THRESHOLDS, ..EdgesConfig::default() };
        Ok(match self.spec.kind {
            TaskKind::Semseg | TaskKind::HumanParts => Box::new(SemsegIou::new(classes)?),
            TaskKind::Sal => Box::new(Saliency::new()),
            TaskKind::Normals => Box::new(Normals::new()),
            TaskKind::Depth => Box::new(Depth::new()),
            TaskKind::Edge => Box::new(Edges::new(edges)?),
            TaskKind::Classification => Box::new(TopK::new(classes)?),
            TaskKind::Tags => Box::new(MeanAveragePrecision::new(classes)?),
        })
    }

    /// What a reader of predictions expects of raw outputs, `[batch, outputs, ..]`: class index,
    /// probability, unit vector, metres.
    pub fn activate(&self, raw: &Tensor) -> Tensor {
        match self.spec.kind {
            TaskKind::Semseg | TaskKind::HumanParts => raw.argmax(1, true).to_kind(Kind::Float),
            TaskKind::Sal | TaskKind::Edge => raw.sigmoid(),
            TaskKind::Normals => {
                let norm = raw.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
                raw / (norm + 1e-12)
            }
            TaskKind::Depth => raw.clamp_min(1e-9),
            TaskKind::Classification | TaskKind::Tags => raw.unsqueeze(-1).unsqueeze(-1),
        }
    }
}

/// The reference's loss for each kind of task (methods of MTLoRA, section 8).
fn default_loss(kind: TaskKind) -> LossConfig {
    match kind {
        TaskKind::Semseg | TaskKind::HumanParts | TaskKind::Classification => {
            LossConfig::CrossEntropy(CrossEntropy::default())
        }
        TaskKind::Sal => LossConfig::BalancedBce(BalancedBce {}),
        TaskKind::Edge => LossConfig::WeightedBce(WeightedBce::default()),
        TaskKind::Normals => LossConfig::NormalsL1(NormalsL1 {}),
        TaskKind::Depth => LossConfig::L1(L1 {}),
        TaskKind::Tags => LossConfig::MultiLabelBce(MultiLabelBce {}),
    }
}
