//! The plain backbone as timm's `create_model` takes it.

use std::path::Path;

use polyptych_backbones::TimmModel;
use polyptych_data::{LoaderConfig, TaskKind};
use polyptych_formats::file;
use polyptych_tensor::{Kind, Tensor, Tensors};
use serde_json::{Value, json};

use super::settings;
use super::subject::{ExportReport, Subject};
use crate::Result;
use crate::error::io;
use crate::model::header::header;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const SETTINGS: &str = "polyptych.json";

/// Writes `model.safetensors` and `config.json`, which `timm.create_model("local-dir:OUT")` reads;
/// `create_model(architecture, checkpoint_path=.., **model_args)` takes the first alone.
pub(super) fn write(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let (weights, classes) = plain(subject)?;
    std::fs::create_dir_all(out).map_err(io(out))?;
    let [path, config, extra] = [WEIGHTS, CONFIG, SETTINGS].map(|name| out.join(name));
    save(&path, &weights.tensors)?;
    file::write_aside(&extra, format!("{:#}\n", settings::settings(subject)).as_bytes())?;
    let text = format!("{:#}\n", config_json(subject, classes)?);
    file::write_aside(&config, text.as_bytes())?;
    let differences = subject.compare_plain(&file::load(&path)?.tensors, classes)?;
    let mut report = subject.report(differences, vec![path, config, extra]);
    report.notes.extend(weights.notes);
    Ok(report)
}

pub(super) struct Plain {
    pub(super) tensors: Tensors,
    pub(super) notes: Vec<String>,
}

/// The backbone with its classifier, and how many classes that has.
pub(super) fn plain(subject: &Subject) -> Result<(Plain, i64)> {
    timm_model(subject)?;
    let (mut tensors, left_out) = subject.plain_tensors()?;
    // Heads read what is left out.
    let classifier = if left_out.is_none() { classifier(subject) } else { None };
    let classes = match classifier {
        Some([weight, bias]) => {
            let (classes, backbone) = (weight.size()[0], subject.model.backbone_config());
            // Where timm's model averages several, they are the same one.
            for head in backbone.averaged_classifiers().iter().chain([&backbone.classifier()]) {
                tensors.insert(format!("{head}.weight"), weight.copy());
                tensors.insert(format!("{head}.bias"), bias.copy());
            }
            classes
        }
        None => 0,
    };
    let notes = left_out.into_iter().chain(final_norm(subject, &mut tensors)).collect();
    Ok((Plain { tensors, notes }, classes))
}

pub(super) fn save(path: &Path, tensors: &Tensors) -> Result<()> {
    Ok(file::save(path, tensors, header())?)
}

/// The linear heads of all tasks, one behind the other, if each names one class per image.
fn classifier(subject: &Subject) -> Option<[Tensor; 2]> {
    let stored: Tensors = subject.model.store.tensors().into_iter().collect();
    let rows = |part: &str| {
        let of_task = |task: &crate::Task| match task.spec.kind {
            TaskKind::Classification if task.recipe.head.is_linear() => {
                stored.get(&format!("heads.{}.{part}", task.spec.name)).map(Tensor::detach)
            }
            _ => None,
        };
        let rows: Option<Vec<Tensor>> = subject.model.tasks.iter().map(of_task).collect();
        rows.map(|rows| Tensor::cat(&rows, 0))
    };
    Some([rows("weight")?, rows("bias")?])
}

/// timm's models have a final norm; a model that reads the levels in front of it has none.
fn final_norm(subject: &Subject, tensors: &mut Tensors) -> Option<String> {
    let (name, dim) = subject.model.backbone_config().final_norm()?;
    if tensors.contains_key(&format!("{name}.weight")) {
        return None;
    }
    let options = (Kind::Float, subject.model.store.device());
    tensors.insert(format!("{name}.weight"), Tensor::ones([dim], options));
    tensors.insert(format!("{name}.bias"), Tensor::zeros([dim], options));
    Some(format!("{name}: the model reads in front of it and has none; written as 1 and 0"))
}

fn timm_model(subject: &Subject) -> Result<TimmModel> {
    subject.model.backbone_config().timm_model().map_err(|reason| subject.refused(reason))
}

fn config_json(subject: &Subject, classes: i64) -> Result<Value> {
    let model = timm_model(subject)?;
    let LoaderConfig { mean, std, img_size: [height, width], .. } = subject.recipe.loader(1);
    // timm does not know the variants that ship with Polyptych; all their numbers are given.
    let name = subject.recipe.backbone.name.as_str();
    let architecture = if name.contains("_micro_") { model.architecture } else { name };
    let backbone = subject.model.backbone_config();
    let classifiers = match backbone.averaged_classifiers() {
        [] => json!(backbone.classifier()),
        others => json!([&[backbone.classifier()][..], others].concat()),
    };
    // timm hands `img_size` to models with a fixed size of input; others do not take it.
    let fixed = model.model_args.get("img_size").is_some();
    Ok(json!({
        "architecture": architecture,
        "num_classes": classes,
        "num_features": model.num_features,
        "global_pool": model.global_pool,
        "model_args": model.model_args,
        "pretrained_cfg": {
            "input_size": [3, height, width],
            "fixed_input_size": fixed,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": mean,
            "std": std,
            "num_classes": classes,
            "first_conv": backbone.first_conv(),
            "classifier": classifiers,
        },
    }))
}
