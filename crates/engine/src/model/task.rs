//! One task of a run: what the data say of it, joined with its head, loss and metric.

use polyptych_data::{TaskKind, TaskSpec};
use polyptych_losses::{
    BalancedBce, Contrastive, CrossEntropy, L1, LossConfig, MultiLabelBce, NormalsL1, WeightedBce,
};
use polyptych_metrics::{
    Depth, Edges, EdgesConfig, MeanAveragePrecision, Metric, Normals, Retrieval, Saliency,
    SemsegIou, TopK,
};
use polyptych_tensor::Tensor;
use serde_json::{Value, json};

use crate::model::activate::{MIN_DEPTH, UNIT_EPS, activate, activate_at};
use crate::{Error, Result, TaskRecipe, UnionRange};

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
    pub loss: LossConfig,
    /// Its classes among those of all joined tasks, where the recipe has a union.
    pub union: Option<UnionRange>,
}

impl Task {
    /// Joins what data and recipe say of a task.
    ///
    /// # Errors
    /// A head or a loss of the other kind, maps or whole images, or constants that are out of range.
    pub fn new(spec: TaskSpec, recipe: TaskRecipe) -> Result<Self> {
        if recipe.head.is_dense() != spec.is_dense() {
            return Err(misfit(&spec, "head", "a head"));
        }
        let loss = recipe.loss.clone().unwrap_or_else(|| default_loss(spec.kind));
        loss.validate()?;
        if loss.is_dense().is_some_and(|dense| dense != spec.is_dense()) {
            return Err(misfit(&spec, "loss", "a loss"));
        }
        if let Some(ratio) = recipe.downsample_label_ratio.filter(|_| !has_nearest(spec.kind)) {
            let reason = format!(
                "expected none for this kind of task, found {ratio}: only labels of semseg, \
                 human_parts and sal can be resampled by nearest pixels"
            );
            return Err(of_task(&spec, "downsample_label_ratio", reason));
        }
        let retrieval = spec.reads_texts();
        let parts = [
            ("head", recipe.head.is_embedding(), "a head", "embedding"),
            ("loss", loss.compares_images(), "a loss", "contrastive"),
        ];
        if let Some((key, _, part, name)) = parts.iter().find(|(_, has, ..)| *has != retrieval) {
            let reason = match retrieval {
                true => format!("expected {part} for retrieval (`{name}`), found another"),
                false => {
                    format!("expected {part} for classes, found `{name}`, which is for retrieval")
                }
            };
            return Err(of_task(&spec, key, reason));
        }
        Ok(Self { spec, recipe, loss, union: None })
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
            TaskKind::Classification => Box::new(match &self.union {
                Some(union) => TopK::of_union(union.own.clone(), union.num_classes)?,
                None => TopK::new(classes)?,
            }),
            TaskKind::Tags => Box::new(MeanAveragePrecision::new(classes)?),
            TaskKind::Retrieval => Box::new(Retrieval::of_texts()),
            TaskKind::ModifiedRetrieval => Box::new(Retrieval::of_images()),
        })
    }

    /// Height and width at which the loss is computed for images of `size`.
    pub fn loss_size(&self, size: [i64; 2]) -> [i64; 2] {
        let ratio = self.recipe.downsample_label_ratio.unwrap_or(1) as i64;
        size.map(|extent| extent / ratio)
    }

    /// Labels at the size of [`Task::loss_size`], by nearest pixels; what has none stays without.
    ///
    /// # Errors
    /// An image smaller than the ratio.
    pub fn loss_target(&self, target: Tensor) -> Result<Tensor> {
        let [.., height, width] = target.size()[..] else { return Ok(target) };
        let size = self.loss_size([height, width]);
        match size == [height, width] {
            true => Ok(target),
            false => Ok(target.f_upsample_nearest2d(size, None, None)?),
        }
    }

    /// What [`Task::activate`] does, for programs that have raw outputs alone: `activation` and its
    /// numbers, `values` that come out, and their `units` where they have some.
    pub fn activation(&self) -> Value {
        match self.spec.kind {
            TaskKind::Semseg | TaskKind::HumanParts => {
                json!({"activation": "argmax", "axis": 1, "values": "class index"})
            }
            TaskKind::Sal | TaskKind::Edge => {
                json!({"activation": "sigmoid", "values": "probability"})
            }
            TaskKind::Normals => json!({
                "activation": "unit_length", "axis": 1, "eps": UNIT_EPS,
                "values": "unit vector (x, y, z)",
            }),
            TaskKind::Depth => json!({
                "activation": "clamp_min", "min": MIN_DEPTH, "values": "depth", "units": "m",
            }),
            TaskKind::Classification => json!({
                "activation": "none", "values": "logits; the largest names the class",
            }),
            TaskKind::Tags => json!({
                "activation": "none", "values": "logits; those above 0 name classes",
            }),
            TaskKind::Retrieval | TaskKind::ModifiedRetrieval => json!({
                "activation": "none", "values": "embedding of the image, of length 1",
            }),
        }
    }

    /// What a reader of predictions expects of raw outputs, `[batch, outputs, ..]`: class index,
    /// probability, unit vector, metres.
    pub fn activate(&self, raw: &Tensor) -> Tensor {
        activate(self.spec.kind, raw)
    }

    /// As [`activate_at`], for this task.
    ///
    /// # Errors
    /// An extent of 0.
    pub fn activate_at(&self, raw: &Tensor, size: [i64; 2]) -> Result<Tensor> {
        activate_at(&self.spec, raw, size)
    }
}

/// Whether labels of such tasks are classes of pixels, of which the nearest one stands for others.
fn has_nearest(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Semseg | TaskKind::HumanParts | TaskKind::Sal)
}

fn misfit(spec: &TaskSpec, key: &str, part: &str) -> Error {
    let kind = |dense| if dense { "maps" } else { "whole images" };
    let (expected, found) = (kind(spec.is_dense()), kind(!spec.is_dense()));
    of_task(spec, key, format!("expected {part} for {expected}, found one for {found}"))
}

fn of_task(spec: &TaskSpec, key: &str, reason: String) -> Error {
    Error::Recipe { origin: format!("tasks.{}", spec.name), key: key.into(), reason }
}

/// The reference's loss for each kind of task (methods of MTLoRA, section 8).
fn default_loss(kind: TaskKind) -> LossConfig {
    match kind {
        TaskKind::Semseg | TaskKind::HumanParts | TaskKind::Classification => {
            CrossEntropy::default().into()
        }
        TaskKind::Sal => BalancedBce {}.into(),
        TaskKind::Edge => WeightedBce::default().into(),
        TaskKind::Normals => NormalsL1 {}.into(),
        TaskKind::Depth => L1 {}.into(),
        TaskKind::Tags => MultiLabelBce {}.into(),
        TaskKind::Retrieval | TaskKind::ModifiedRetrieval => Contrastive {}.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use polyptych_heads::linear::LinearConfig;
    use polyptych_heads::segformer::SegformerConfig;
    use polyptych_tensor::{Device, Kind};

    use super::*;

    const KINDS: [(TaskKind, &str); 8] = [
        (TaskKind::Semseg, "miou"),
        (TaskKind::HumanParts, "miou"),
        (TaskKind::Sal, "miou"),
        (TaskKind::Normals, "mean_angle_deg"),
        (TaskKind::Depth, "rmse_m"),
        (TaskKind::Edge, "ods_f"),
        (TaskKind::Classification, "top1"),
        (TaskKind::Tags, "map"),
    ];

    fn spec(kind: TaskKind) -> TaskSpec {
        let classes = ["a", "b", "c"].map(str::to_owned).into();
        TaskSpec { name: "t".into(), kind, classes, palette: vec![], flip_pairs: vec![] }
    }

    fn recipe(dense: bool) -> TaskRecipe {
        let head = match dense {
            true => SegformerConfig { embed_dim: 8, dropout: 0.0 }.into(),
            false => LinearConfig {}.into(),
        };
        TaskRecipe { weight: 1.0, head, loss: None, downsample_label_ratio: None }
    }

    fn task(kind: TaskKind) -> Task {
        let spec = spec(kind);
        Task::new(spec.clone(), recipe(spec.is_dense())).unwrap()
    }

    /// Every class in some column of 8 x 8 pixels, or a line one pixel wide.
    fn raw(spec: &TaskSpec) -> Tensor {
        let columns = Tensor::arange(8, (Kind::Int64, Device::Cpu));
        let classes = columns.remainder(3).one_hot(3).transpose(0, 1);
        let line = columns.eq(4).to_kind(Kind::Float) * 12.0 - 9.0;
        match (spec.is_dense(), spec.kind, spec.num_outputs()) {
            (false, ..) => Tensor::from_slice(&[3.0f32, 1.0, 2.0]).view([1, 3]),
            (_, TaskKind::Depth, _) => line.abs().view([1, 1, 1, 8]).expand([1, 1, 8, 8], false),
            (_, _, 1) => line.view([1, 1, 1, 8]).expand([1, 1, 8, 8], false),
            _ => classes.to_kind(Kind::Float).reshape([1, 3, 1, 8]).expand([1, 3, 8, 8], false),
        }
    }

    /// What a task reads from raw outputs is what its metric calls perfect for the same labels.
    #[test]
    fn every_kind_is_measured_on_what_it_activates() {
        for (kind, headline) in KINDS {
            let task = task(kind);
            let raw = raw(&task.spec);
            let map = crate::run::evaluate::to_array(&task.activate(&raw)).unwrap();
            let map = map.index_axis_move(ndarray::Axis(0), 0);
            let target = match kind {
                TaskKind::Classification => ndarray::Array3::zeros((1, 1, 1)),
                TaskKind::Sal | TaskKind::Edge => map.mapv(f32::round),
                TaskKind::Tags => map.mapv(|_| 1.0),
                _ => map.clone(),
            };
            let mut metric = task.metric().unwrap();
            metric.update(map.view(), target.view()).unwrap();
            let score = metric.compute().unwrap()[0];
            assert_eq!(score.name, headline);
            let perfect = if score.unit == "%" { 100.0 } else { f64::from(score.higher_is_better) };
            let message = format!("{kind:?}: {}", score.value);
            assert!((score.value - perfect).abs() < 0.05, "{message}");
        }
    }

    /// The Python module refuses activations that it does not name.
    #[test]
    fn the_python_module_names_every_kind_and_activation() {
        let module = include_str!("../../../cli/python/polyptych/_model.py");
        let (_, table) = module.split_once("\n_ACTIVATIONS: ").unwrap();
        let (table, _) = table.split_once("\n}").unwrap();
        let named: BTreeSet<String> = table
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
            .map(str::to_owned)
            .collect();
        let mut written = BTreeSet::new();
        let retrieval = [TaskKind::Retrieval, TaskKind::ModifiedRetrieval];
        for kind in KINDS.into_iter().map(|(kind, _)| kind).chain(retrieval) {
            let mut of = task(TaskKind::Tags);
            of.spec.kind = kind;
            written.insert(of.activation()["activation"].as_str().unwrap().to_owned());
            let kind = serde_json::to_value(kind).unwrap();
            let quoted = format!("`{}`", kind.as_str().unwrap());
            assert!(module.contains(&quoted), "{quoted}");
        }
        assert_eq!(written, named);
    }

    #[test]
    fn heads_and_losses_must_be_of_the_task_s_kind() {
        let message = Task::new(spec(TaskKind::Depth), recipe(false)).unwrap_err().to_string();
        assert_eq!(message, "tasks.t: head: expected a head for maps, found one for whole images");
        let mut tags = recipe(false);
        tags.loss = Some(NormalsL1 {}.into());
        let message = Task::new(spec(TaskKind::Tags), tags).unwrap_err().to_string();
        assert_eq!(message, "tasks.t: loss: expected a loss for whole images, found one for maps");
        let message = Task::new(spec(TaskKind::Tags), recipe(true)).unwrap_err().to_string();
        assert_eq!(message, "tasks.t: head: expected a head for whole images, found one for maps");
    }
}
