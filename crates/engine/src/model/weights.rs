//! Where a backbone's values come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use polyptych_adapters::{is_method_parameter, method_parameters};
use polyptych_backbones::checkpoint::is_rounded_up;
use polyptych_backbones::{Checkpoint, computed, pretrained};
use polyptych_formats::pth::Choice;
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{LoadOptions, LoadReport, Tensor, Tensors, matches};

use crate::model::grown::{fits, grown};
use crate::model::header::header;
use crate::model::trunk::BACKBONE;
use crate::run::hub::Hub;
use crate::run::quantized::refuse_training;
use crate::run::{MERGED_MODEL, RECIPE};
use crate::{BackboneRecipe, Checkpoint as RunCheckpoint, Error, Model, Result, RunFolder, Task};

/// What weights may have and a model need not use: classifiers, final norms where the model reads
/// the levels only, what is computed anyway, and decoders of tasks that the recipe lacks.
const UNUSED: [&str; 8] = [
    "backbone.head.*",
    "backbone.norm.*",
    "backbone.fc_norm.*",
    "backbone.pre_logits/*",
    "backbone.pooler.*",
    "backbone.embeddings.mask_token",
    "heads.*",
    "decoder.*",
];

/// Scopes of what stands beside the trunks.
const BESIDE: [&str; 5] = ["heads.", "decoder.", "text.", "fusion.", "language."];

/// What MTLoRA and EMTAL train in a backbone; EMTAL's clustered weights have a router alone.
const FACTORS: [&str; 2] = ["*.lora_shared_A", "*.lora_A.weight"];

/// Loads the `weights` of `recipe` into the backbone of `model`: a shipped `architecture.tag`,
/// another of timm's names, a file or folder of any [`Source`](polyptych_backbones::Source), the folder of a run or of a merged
/// model, or `none`.
///
/// A run brings its method's parameters too, which must be the recipe's, its text tower where the
/// model has one, and the heads of those tasks whose head has the same shapes; a merged model brings
/// the same without what was merged.
///
/// Checkpoints of MTLoRA and EMTAL bring parameters of the adapter, all of them, and the heads of
/// their tasks, unless `backbone.heads` says otherwise. Without such, parameters of the adapter and
/// heads stay at their initial values. Classifiers and, where the model reads the levels only,
/// final norms stay unused. Everything else must fit.
///
/// # Errors
/// Weights that cannot be found or read, or that do not fit.
pub fn load_backbone(model: &Model, recipe: &BackboneRecipe) -> Result<Option<LoadReport>> {
    let weights = recipe.weights.as_str();
    if weights == "none" {
        return Ok(None);
    }
    if let Some((tensors, rounded_up)) = of_run(Path::new(weights))? {
        model.refuse_rounded_down(weights, rounded_up)?;
        return Ok(Some(load_run(model, recipe, &tensors)?));
    }
    let mut checkpoint = open_weights(weights, &recipe.choice())?;
    checkpoint.check(model.backbone_config())?;
    let notes = checkpoint.notes_for(model.backbone_config());
    if !recipe.heads {
        checkpoint
            .tensors
            .retain(|name, _| !name.starts_with("heads.") && !name.starts_with("head."));
    }
    let named = placed(model, &with_heads(model, &checkpoint)?);
    check_method(model, &checkpoint, &named)?;
    check_heads(model, weights, &named)?;
    let factors = named.keys().any(|name| matches(&FACTORS, name));
    let initial = if factors { Vec::new() } else { method_parameters() };
    let resample = |name: &str, tensor: &Tensor, wanted: &[i64]| {
        model.backbone_config().resample(name, tensor, wanted)
    };
    let options = LoadOptions {
        allow_missing: &[&["heads.*", "decoder.*", "text.*"][..], &initial].concat(),
        allow_unused: &[&UNUSED[..], &computed()].concat(),
        resample: Some(&resample),
    };
    let report = model.store.load(weights, &named, &options)?;
    Ok(Some(LoadReport { notes, ..report }))
}

/// The tensors of the run or merged model in `path`, and whether its Swin was planned by rounding
/// up; nothing where it is neither.
fn of_run(path: &Path) -> Result<Option<(Tensors, bool)>> {
    if !path.join(RECIPE).exists() {
        return Ok(None);
    }
    refuse_training(path)?;
    let folder = RunFolder::open(path)?;
    Ok(Some(match path.join(MERGED_MODEL) {
        merged if merged.exists() => {
            let file = file::load(&merged)?;
            let rounded_up = is_rounded_up(&file.metadata);
            (file.tensors, rounded_up)
        }
        _ => {
            let checkpoint = RunCheckpoint::open(&folder.checkpoints(), false)?;
            (checkpoint.model, checkpoint.rounded_up)
        }
    }))
}

/// Loads the trained values of a run that the model has too; heads of other shapes stay new.
fn load_run(model: &Model, recipe: &BackboneRecipe, tensors: &Tensors) -> Result<LoadReport> {
    let own: BTreeMap<String, Vec<i64>> =
        model.store.tensors().into_iter().map(|(name, t)| (name, t.size())).collect();
    check_architecture(model, &recipe.weights, tensors)?;
    let scope = format!("{BACKBONE}.");
    let short = |name: &str| name.strip_prefix(&scope).unwrap_or(name).to_owned();
    let (copies, plain): (Vec<_>, Vec<_>) =
        tensors.iter().partition(|(name, _)| name.starts_with("tasks."));
    let plain: Tensors = plain.into_iter().map(|(n, t)| (short(n), t.shallow_clone())).collect();
    let mut named = placed(model, &plain);
    named.extend(copies.into_iter().map(|(name, t)| (name.clone(), t.shallow_clone())));
    named.retain(|name, _| {
        let of_head = name.starts_with("heads.") || name.starts_with("decoder.");
        !of_head || (recipe.heads && fits(model, name, &own, tensors))
    });
    let reads_texts = own.keys().any(|name| name.starts_with("text."));
    named.retain(|name, _| reads_texts || !name.starts_with("text."));
    let foreign = |name: &&String| {
        (is_method_parameter(name) || name.starts_with("tasks.")) && !own.contains_key(*name)
    };
    if let Some(name) = named.keys().find(foreign) {
        let keys = match name.starts_with("text.") {
            true => "text.adapter as the run has it",
            false => "adapter and backbone.per_task as the run has them",
        };
        let reason = format!(
            "expected parameters of the recipe's method, found {name}: set {keys}, or merge the run \
             (`polyptych merge`) and name the merged folder"
        );
        return Err(Error::Weights { name: recipe.weights.clone(), reason });
    }
    let factors = named.keys().any(|name| is_method_parameter(name));
    let initial = if factors { Vec::new() } else { method_parameters() };
    let resample = |name: &str, tensor: &Tensor, wanted: &[i64]| {
        let grown = grown(model, name, tensor, wanted);
        grown.or_else(|| model.backbone_config().resample(name, tensor, wanted))
    };
    let allow_missing = [
        &["heads.*", "decoder.*", "text.*", "backbone.norm.*", "backbone.fc_norm.*"][..],
        &initial,
    ]
    .concat();
    let options = LoadOptions {
        allow_missing: &allow_missing,
        allow_unused: &[&UNUSED[..], &computed()].concat(),
        resample: Some(&resample),
    };
    Ok(model.store.load(&recipe.weights, &named, &options)?)
}

/// Checks that a run's backbone is of the recipe's architecture.
fn check_architecture(model: &Model, weights: &str, tensors: &Tensors) -> Result<()> {
    let scope = format!("{BACKBONE}.");
    let backbone = tensors
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix(&scope)?.to_owned(), t.shallow_clone())));
    let backbone: Tensors = backbone.filter(|(name, _)| !is_method_parameter(name)).collect();
    if backbone.is_empty() {
        return Ok(());
    }
    let file = TensorFile { tensors: backbone, metadata: header() };
    Ok(Checkpoint::of(weights, file)?.check(model.backbone_config())?)
}

/// A shipped `architecture.tag`, another of timm's names, or a file or folder.
/// `choice` says which, where a file holds several.
pub(crate) fn open_weights(weights: &str, choice: &Choice) -> Result<Checkpoint> {
    Ok(match pretrained::bytes(weights) {
        Some(bytes) => Checkpoint {
            rounded_up: true,
            ..Checkpoint::of(weights, file::parse(weights, bytes)?)?
        },
        None => Checkpoint::open_choice(&Hub::from_env().resolve(weights)?, choice)?,
    })
}

/// A classifier of all tasks, as EMTAL has, becomes the heads of the tasks whose classes it has.
fn with_heads(model: &Model, checkpoint: &Checkpoint) -> Result<Tensors> {
    let mut tensors: Tensors = checkpoint
        .tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect();
    if !checkpoint.source.joint_classifier {
        return Ok(tensors);
    }
    for part in ["weight", "bias"] {
        let Some(head) = tensors.remove(&format!("head.{part}")) else { continue };
        for task in &model.tasks {
            let Some(range) = &task.union else { continue };
            let rows = head.size().first().copied().unwrap_or_default();
            if rows != range.num_classes as i64 {
                return Err(Error::Weights {
                    name: checkpoint.origin.clone(),
                    reason: format!(
                        "head.{part}: expected the {} classes of the recipe's tasks, found {rows}: \
                         name the data sets that it was trained on, in their order, or set \
                         backbone.heads=false to begin with new heads",
                        range.num_classes
                    ),
                });
            }
            let own = head.narrow(0, range.own.start as i64, range.own.len() as i64);
            tensors.insert(format!("heads.{}.{part}", task.spec.name), own);
        }
    }
    Ok(tensors)
}

/// Checks that what the weights have of a method is of the recipe's.
fn check_method(model: &Model, checkpoint: &Checkpoint, named: &Tensors) -> Result<()> {
    let known: BTreeSet<String> = model.store.tensors().into_iter().map(|(name, _)| name).collect();
    let foreign = |name: &&String| is_method_parameter(name) && !known.contains(*name);
    match named.keys().find(foreign) {
        None => Ok(()),
        Some(name) => Err(Error::Weights {
            name: checkpoint.origin.clone(),
            reason: format!(
                "expected parameters of the recipe's method, found {name} of {}: set adapter.method \
                 and its options to those that the weights were trained with",
                checkpoint.source
            ),
        }),
    }
}

/// Checks that a head which the weights have for a task is the recipe's, whole.
fn check_heads(model: &Model, weights: &str, named: &Tensors) -> Result<()> {
    let stored = model.store.tensors();
    for task in &model.tasks {
        let prefix = format!("heads.{}.", task.spec.name);
        if !named.keys().any(|name| name.starts_with(&prefix)) {
            continue;
        }
        for (name, own) in stored.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let found = named.get(name).map(Tensor::size);
            if found.as_ref() != Some(&own.size()) {
                let found = found.map_or("none".into(), |size| format!("{size:?}"));
                let (name, expected) = (format!("{weights}: {name}"), own.size());
                return Err(Error::Weights { name, reason: other_head(task, &expected, &found) });
            }
        }
    }
    Ok(())
}

fn other_head(task: &Task, expected: &[i64], found: &str) -> String {
    let (key, classes) = (&task.spec.name, task.spec.classes.len());
    let classes = if classes > 0 { format!(" for {classes} classes") } else { String::new() };
    format!(
        "expected {expected:?}{classes}, found {found}: choose the data set whose `{key}` the \
         weights were trained on and tasks.{key}.head as it was, or set backbone.heads=false to \
         begin with new heads"
    )
}

/// `tensors` under the names of the model's store: several, where tasks have copies.
fn placed(model: &Model, tensors: &Tensors) -> Tensors {
    let places = |name: &String| {
        let found: Vec<_> = model.trunks().iter().filter_map(|trunk| trunk.place(name)).collect();
        match found.is_empty() {
            true if BESIDE.iter().any(|scope| name.starts_with(scope)) => vec![name.clone()],
            true => vec![format!("{BACKBONE}.{name}")],
            false => found.into_iter().cloned().collect(),
        }
    };
    let placed = |(name, tensor): (&String, &Tensor)| {
        places(name).into_iter().map(|place| (place, tensor.shallow_clone())).collect::<Vec<_>>()
    };
    tensors.iter().flat_map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn the_content_says_which_format_a_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let open = || open_weights(path.to_str().unwrap(), &Choice::default());
        let bias = Tensor::ones([4], (Kind::Float, Device::Cpu));
        let name = "Transformer/encoderblock_0/LayerNorm_0/bias";
        Tensor::write_npz(&[(name, &bias)], &path).unwrap();
        let published = open().unwrap().tensors;
        file::save(&path, &published, Default::default()).unwrap();
        for tensors in [published, open().unwrap().tensors] {
            assert!(tensors.keys().eq(["blocks.0.norm1.bias"]));
            assert!(tensors["blocks.0.norm1.bias"].equal(&bias));
        }
        let refused = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            open().unwrap_err().to_string()
        };
        for (content, expected) in [
            (
                &include_bytes!("../../../formats/tests/pth/nested_zip.pth")[..],
                "weights: names: expected those of a backbone (AugReg's ViT, MTLoRA, EMTAL, \
                 TorchVision's Swin, TorchVision's ViT, OpenCLIP, Meta's DINOv3, Hugging Face's \
                 DINOv3, Hugging Face's CLIP and SigLIP, Hugging Face's Swin V2, Hugging Face's PVT \
                 v2, Hugging Face's Hiera, Hugging Face's ConvNeXt, Hugging Face's Swin, Hugging \
                 Face's BEiT, Hugging Face's ViT, ConvNeXt's authors, PVT v2's authors, Microsoft's \
                 Swin, Hiera's authors, timm), found 4 tensors such as bias, empty, scalar",
            ),
            (
                include_bytes!("../../../formats/tests/pth/bad_system.pth"),
                "weights: `os.system` is neither tensor nor",
            ),
            (b"PK\x03\x04 and no archive", "weights: archive: "),
        ] {
            let message = refused(content);
            assert!(message.contains(expected), "{message}");
        }
    }
}
