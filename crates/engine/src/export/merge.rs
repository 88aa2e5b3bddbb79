//! Merging a trained model into a plain one, checked before it is written.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_adapters::{Form, is_method_parameter};
use polyptych_data::{Batch, TaskKind};
use polyptych_formats::file;
use polyptych_tensor::{Kind, LoadOptions, Precision, Tensor, Tensors, no_grad};
use serde::Serialize;

use crate::error::io;
use crate::export::check::check;
use crate::model::header::header;
use crate::model::trunk::Trunk;
use crate::run::{MERGE, MERGED_MODEL};
use crate::training::log::to_json;
use crate::{
    DataSets, Difference, Error, Model, OpenRun, Recipe, Result, RunFolder, Task, to_tensor,
};

/// What merging did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergeReport {
    /// Largest difference of raw outputs per task, on the probe batch, in float32.
    pub differences: BTreeMap<String, Difference>,
    /// The same in the precision of the run, where that is not float32: what rounding makes of it.
    pub in_own_precision: BTreeMap<String, Difference>,
    /// Tensors that are gone because they are part of others now.
    #[serde(rename = "folded")]
    pub merged: usize,
    /// Tensors of the method that stay: the small per-task part.
    pub kept: Vec<String>,
    /// Images in the probe batch.
    pub probe_images: usize,
}

/// Merges the model of `run` and writes it to `out`: the whole model, and the plain backbone under
/// timm's names in `backbone.safetensors`, that one in float16 if `half`.
///
/// Where every task names one class per image, the plain backbone has their heads, one behind the
/// other in the order of tasks, as its classifier, `head` in a ViT and `head.fc` in a Swin. Where every task has a backbone of its
/// own, each becomes a file of its own, `backbone.<task>.safetensors`, with its task's classifier.
///
/// Factors are multiplied in float32 and what they change is written in float32, whatever the run
/// computes in. The two models are compared in float32 too.
///
/// # Errors
/// A model that is merged already, one whose method is not ready to merge, a merged model whose raw
/// outputs on a probe batch of the evaluation data differ from the trained one's by more than 1e-4
/// of the largest, or a folder that cannot be written; nothing is written unless the check holds,
/// and nothing stays that is not whole.
pub fn merge(run: &OpenRun, out: &Path, half: bool) -> Result<MergeReport> {
    if run.form == Form::Merged {
        let reason = "expected a trained run, found a merged model".into();
        return Err(Error::Run { path: run.folder.path().into(), reason });
    }
    let specs = run.folder.specs()?;
    let tensors = run.model.merged()?;
    let both = Both::new(run, &run.recipe_in_float32(), &tensors)?;
    let report = report(run, &both, &tensors)?;
    let folder = RunFolder::create(out, &run.recipe, &specs, run.baselines.as_ref())?;
    write(&folder, &both.merged, &tensors, &report, half).inspect_err(|_| folder.discard())?;
    Ok(report)
}

/// The trained model and the merged one in float32.
struct Both {
    /// None where the run computes in float32 anyway.
    trained: Option<Model>,
    merged: Model,
}

impl Both {
    fn new(run: &OpenRun, recipe: &Recipe, tensors: &Tensors) -> Result<Self> {
        let merged = merged(run, recipe, tensors)?;
        let shorter = run.recipe.precision != Precision::Fp32;
        let trained = shorter.then(|| run.model_in_float32()).transpose()?;
        Ok(Self { trained, merged })
    }
}

fn merged(run: &OpenRun, recipe: &Recipe, tensors: &Tensors) -> Result<Model> {
    let specs = run.folder.specs()?;
    let model = Model::new(recipe, &specs, Form::Merged, run.model.store.device())?;
    model.store.load("merged model", tensors, &LoadOptions::default())?;
    model.store_frozen();
    Ok(model)
}

fn report(run: &OpenRun, both: &Both, tensors: &Tensors) -> Result<MergeReport> {
    let batch = probe(run)?;
    let images = to_tensor(&batch.images, run.model.store.device());
    let trained = both.trained.as_ref().unwrap_or(&run.model);
    let differences = compare(&both.merged, trained, &images)?;
    if let Some(reason) = run.model.unmergeable() {
        return Err(unmergeable(run, reason, &differences));
    }
    differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
    let in_own_precision = match both.trained {
        Some(_) => compare(&merged(run, &run.recipe, tensors)?, &run.model, &images)?,
        None => BTreeMap::new(),
    };
    let kept = tensors.keys().filter(|name| is_method_parameter(name)).cloned().collect();
    let before = run.model.store.tensors();
    let gone = |name: &str| is_method_parameter(name) && !tensors.contains_key(name);
    let merged = before.iter().filter(|(name, _)| gone(name)).count();
    let probe_images = batch.names.len();
    Ok(MergeReport { differences, in_own_precision, merged, kept, probe_images })
}

/// The batch on which models are compared: the first of the evaluation data.
pub(crate) fn probe(run: &OpenRun) -> Result<Batch> {
    let none = || Error::Run { path: run.folder.path().into(), reason: "no probe batch".into() };
    Ok(DataSets::open_eval(&run.recipe)?.epoch(0, 0)?.next().ok_or_else(none)??)
}

/// Largest differences of raw outputs per task.
pub(crate) fn compare(
    merged: &Model,
    trained: &Model,
    images: &Tensor,
) -> Result<BTreeMap<String, Difference>> {
    let outputs = |model: &Model| no_grad(|| model.forward(images, false));
    let (found, expected) = (outputs(merged)?, outputs(trained)?);
    let names = trained.tasks.iter().map(|task| task.spec.name.clone());
    let between = found.iter().zip(&expected).map(|(a, b)| Difference::between(a, b));
    Ok(names.zip(between).collect())
}

/// `differences`: those of raw outputs that merging would make.
fn unmergeable(run: &OpenRun, reason: String, differences: &BTreeMap<String, Difference>) -> Error {
    let reason = match differences.values().copied().reduce(Difference::or_worse) {
        Some(worst) if worst.is_too_large() => {
            let (largest, of) = (worst.largest, worst.of);
            format!(
                "{reason}; on the probe batch its outputs would change by {largest:.3} of {of:.2}"
            )
        }
        _ => reason,
    };
    Error::Unmergeable { path: run.folder.path().into(), reason }
}

fn write(
    folder: &RunFolder,
    merged: &Model,
    tensors: &Tensors,
    report: &MergeReport,
    half: bool,
) -> Result<()> {
    let checkpoints = folder.checkpoints();
    std::fs::remove_dir(&checkpoints).map_err(io(&checkpoints))?;
    let save =
        |name: &str, tensors: &Tensors| file::save(&folder.path().join(name), tensors, header());
    save(MERGED_MODEL, tensors)?;
    for trunk in merged.trunks() {
        save(&trunk.file(), &plain(merged, trunk, tensors, half))?;
    }
    Ok(file::write_aside(&folder.path().join(MERGE), to_json(report).as_bytes())?)
}

/// The backbone of `trunk` under timm's names, with its classifier.
fn plain(merged: &Model, trunk: &Trunk, tensors: &Tensors, half: bool) -> Tensors {
    let prefix = format!("{}.", trunk.prefix());
    let kind = |t: &Tensor| if half { Kind::Half } else { t.kind() };
    let own = tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?, t)));
    let own = own.filter(|(name, _)| !is_method_parameter(name));
    let mut plain: Tensors =
        own.map(|(name, t)| (name.to_owned(), t.detach().to_kind(kind(t)))).collect();
    let heads = classifier(&merged.tasks[trunk.tasks.clone()]);
    let name = merged.backbone_config().classifier();
    for part in ["weight", "bias"] {
        let rows = heads.iter().map(|head| Some(tensors.get(&format!("{head}.{part}"))?.detach()));
        if let Some(rows) = rows.collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty()) {
            plain.insert(format!("{name}.{part}"), Tensor::cat(&rows, 0).to_kind(kind(&rows[0])));
        }
    }
    plain
}

/// Scopes of the heads that make one classifier of a plain backbone: those of all `tasks`, if each
/// names one class per image.
fn classifier(tasks: &[Task]) -> Vec<String> {
    let is_class =
        |task: &Task| task.spec.kind == TaskKind::Classification && task.recipe.head.is_linear();
    match tasks.iter().all(is_class) {
        true => tasks.iter().map(|task| format!("heads.{}", task.spec.name)).collect(),
        false => Vec::new(),
    }
}
