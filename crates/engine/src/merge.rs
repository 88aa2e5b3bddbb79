//! Folding a trained model into a plain one, checked before it is written.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_adapters::{Form, PARAMETERS};
use polyptych_backbones::BackboneConfig;
use polyptych_data::TaskKind;
use polyptych_tensor::{Kind, LoadOptions, Tensor, Tensors, file, matches, no_grad};
use serde::Serialize;

use crate::error::io;
use crate::log::to_json;
use crate::run::{MERGE, MERGED_MODEL};
use crate::trunk::Trunk;
use crate::weights::header;
use crate::{DataSets, Error, Model, OpenRun, Result, RunFolder, Task, to_tensor};

/// Largest difference that folding may make, in the units of the raw outputs.
const TOLERANCE: f64 = 1e-4;

/// What folding did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergeReport {
    /// Largest difference of raw outputs per task, on the probe batch.
    pub differences: BTreeMap<String, f64>,
    /// Tensors that are gone because they are part of others now.
    pub folded: usize,
    /// Tensors of the method that stay: the small per-task part.
    pub kept: Vec<String>,
    /// Images in the probe batch.
    pub probe_images: usize,
}

/// Folds the model of `run` and writes it to `out`: the whole model, and the plain backbone under
/// timm's names in `backbone.safetensors`, that one in float16 if `half`.
///
/// Where every task names one class per image, the plain backbone has their heads, one behind the
/// other in the order of tasks, as its classifier, `head` in a ViT and `head.fc` in a Swin. Where every task has a backbone of its
/// own, each becomes a file of its own, `backbone.<task>.safetensors`, with its task's classifier.
///
/// # Errors
/// A model that is folded already, one whose method is not ready to fold, a folded model that differs by more than 1e-4 from the trained
/// one on a probe batch of the evaluation data, or a folder that cannot be written; nothing is
/// written unless the check holds, and nothing stays that is not whole.
pub fn merge(run: &OpenRun, out: &Path, half: bool) -> Result<MergeReport> {
    if run.form == Form::Folded {
        let reason = "expected a trained run, found a merged model".into();
        return Err(Error::Run { path: run.folder.path().into(), reason });
    }
    let specs = run.folder.specs()?;
    let tensors = run.model.folded()?;
    let folded = Model::new(&run.recipe, &specs, Form::Folded, run.model.store.device())?;
    folded.store.load("folded model", &tensors, &LoadOptions::default())?;
    let report = compare(run, &folded, &tensors)?;
    let folder = RunFolder::create(out, &run.recipe, &specs, run.baselines.as_ref())?;
    write(&folder, &folded, &tensors, &report, half).inspect_err(|_| folder.discard())?;
    Ok(report)
}

fn compare(run: &OpenRun, folded: &Model, tensors: &Tensors) -> Result<MergeReport> {
    let loader = DataSets::open_eval(&run.recipe)?;
    let none = || Error::Run { path: run.folder.path().into(), reason: "no probe batch".into() };
    let batch = loader.epoch(0, 0)?.next().ok_or_else(none)??;
    let images = to_tensor(&batch.images, run.model.store.device());
    let outputs = |model: &Model| no_grad(|| model.forward(&images, false));
    let (before, after) = (outputs(&run.model)?, outputs(folded)?);
    let names = run.model.tasks.iter().map(|task| task.spec.name.clone());
    let worst = |(a, b): (&Tensor, &Tensor)| (a - b).abs().max().double_value(&[]);
    let differences: BTreeMap<String, f64> =
        names.zip(before.iter().zip(&after).map(worst)).collect();
    if let Some(reason) = run.model.unfoldable() {
        return Err(unfoldable(run, reason, differences.into_values().fold(0.0, f64::max)));
    }
    let differs = |d: f64| d.is_nan() || d > TOLERANCE;
    if let Some((key, &found)) = differences.iter().find(|(_, d)| differs(**d)) {
        return Err(Error::Merge { key: key.clone(), tolerance: TOLERANCE, found });
    }
    let kept = tensors.keys().filter(|name| matches(PARAMETERS, name)).cloned().collect();
    let before = run.model.store.tensors();
    let gone = |name: &str| matches(PARAMETERS, name) && !tensors.contains_key(name);
    let folded = before.iter().filter(|(name, _)| gone(name)).count();
    Ok(MergeReport { differences, folded, kept, probe_images: batch.names.len() })
}

/// `difference`: the largest one of raw outputs that folding would make.
fn unfoldable(run: &OpenRun, reason: String, difference: f64) -> Error {
    let change =
        format!("{reason}; on the probe batch its outputs would change by {difference:.3}");
    let reason = if difference > TOLERANCE { change } else { reason };
    Error::Unfoldable { path: run.folder.path().into(), reason }
}

fn write(
    folder: &RunFolder,
    folded: &Model,
    tensors: &Tensors,
    report: &MergeReport,
    half: bool,
) -> Result<()> {
    let checkpoints = folder.checkpoints();
    std::fs::remove_dir(&checkpoints).map_err(io(&checkpoints))?;
    let save =
        |name: &str, tensors: &Tensors| file::save(&folder.path().join(name), tensors, header());
    save(MERGED_MODEL, tensors)?;
    for trunk in folded.trunks() {
        save(&trunk.file(), &plain(folded, trunk, tensors, half))?;
    }
    Ok(file::write_aside(&folder.path().join(MERGE), to_json(report).as_bytes())?)
}

/// The backbone of `trunk` under timm's names, with its classifier.
fn plain(folded: &Model, trunk: &Trunk, tensors: &Tensors, half: bool) -> Tensors {
    let prefix = format!("{}.", trunk.prefix());
    let kind = |t: &Tensor| if half { Kind::Half } else { t.kind() };
    let own = tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?, t)));
    let own = own.filter(|(name, _)| !matches(PARAMETERS, name));
    let mut plain: Tensors =
        own.map(|(name, t)| (name.to_owned(), t.detach().to_kind(kind(t)))).collect();
    let heads = classifier(&folded.tasks[trunk.tasks.clone()]);
    let name = match folded.backbone_config() {
        BackboneConfig::Swin(_) => "head.fc",
        BackboneConfig::Vit(_) => "head",
    };
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
    let is_class = |task: &Task| task.spec.kind == TaskKind::Classification;
    match tasks.iter().all(is_class) {
        true => tasks.iter().map(|task| format!("heads.{}", task.spec.name)).collect(),
        false => Vec::new(),
    }
}
