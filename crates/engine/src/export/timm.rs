//! The plain backbone as timm's `create_model` takes it.

use std::path::Path;

use polyptych_backbones::{BackboneConfig, GlobalPool};
use polyptych_data::{LoaderConfig, TaskKind};
use polyptych_formats::file;
use polyptych_tensor::{Kind, Tensor, Tensors};
use serde_json::{Value, json};

use super::{ExportReport, Subject, new_folder, settings};
use crate::Result;
use crate::weights::header;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const SETTINGS: &str = "polyptych.json";

/// Writes `model.safetensors` and `config.json`, which `timm.create_model("local-dir:OUT")` reads;
/// `create_model(architecture, checkpoint_path=.., **model_args)` takes the first alone.
pub(super) fn write(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let (weights, classes) = plain(subject)?;
    new_folder(out)?;
    let [path, config, extra] = [WEIGHTS, CONFIG, SETTINGS].map(|name| out.join(name));
    save(&path, &weights.tensors)?;
    file::write_aside(&extra, format!("{:#}\n", settings::settings(subject)).as_bytes())?;
    let text = format!("{:#}\n", config_json(subject, classes));
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
    refuse_broken_patches(subject)?;
    let (mut tensors, left_out) = subject.plain_tensors()?;
    // Heads read what is left out.
    let classifier = if left_out.is_none() { classifier(subject) } else { None };
    let classes = match classifier {
        Some([weight, bias]) => {
            let (classes, head) = (weight.size()[0], head_name(subject.model.backbone_config()));
            tensors.insert(format!("{head}.weight"), weight);
            tensors.insert(format!("{head}.bias"), bias);
            classes
        }
        None => 0,
    };
    let notes = left_out.into_iter().chain(final_norm(subject, &mut tensors)).collect();
    Ok((Plain { tensors, notes }, classes))
}

/// timm's name of the classifier.
pub(super) fn head_name(config: &BackboneConfig) -> &'static str {
    match config {
        BackboneConfig::Swin(_) => "head.fc",
        BackboneConfig::Vit(_) => "head",
    }
}

pub(super) fn save(path: &Path, tensors: &Tensors) -> Result<()> {
    Ok(file::save(path, tensors, header())?)
}

/// The linear heads of all tasks, one behind the other, if each names one class per image.
fn classifier(subject: &Subject) -> Option<[Tensor; 2]> {
    let stored: Tensors = subject.model.store.tensors().into_iter().collect();
    let rows = |part: &str| {
        let of_task = |task: &crate::Task| match task.spec.kind {
            TaskKind::Classification => {
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
    let (name, dim) = match subject.model.backbone_config() {
        BackboneConfig::Vit(vit) if vit.global_pool == GlobalPool::Avg => {
            ("fc_norm", vit.embed_dim)
        }
        BackboneConfig::Vit(vit) => ("norm", vit.embed_dim),
        BackboneConfig::Swin(swin) => ("norm", swin.embed_dim << (swin.depths.len() - 1)),
    };
    if tensors.contains_key(&format!("{name}.weight")) {
        return None;
    }
    let options = (Kind::Float, subject.model.store.device());
    tensors.insert(format!("{name}.weight"), Tensor::ones([dim], options));
    tensors.insert(format!("{name}.bias"), Tensor::zeros([dim], options));
    Some(format!("{name}: the model reads in front of it and has none; written as 1 and 0"))
}

/// Refuses a Swin whose images patches do not divide: timm drops the rest, where we pad.
fn refuse_broken_patches(subject: &Subject) -> Result<()> {
    match subject.model.backbone_config() {
        BackboneConfig::Swin(swin) if is_broken(swin.img_size, swin.patch_size) => Err(subject
            .refused(format!(
                "expected sides of images that patches of {} divide, found {:?}: timm drops the \
                 rest, which is padded here; torchscript and onnx do as we do",
                swin.patch_size, swin.img_size
            ))),
        _ => Ok(()),
    }
}

fn is_broken(img_size: [i64; 2], patch_size: i64) -> bool {
    img_size.iter().any(|side| side % patch_size != 0)
}

fn config_json(subject: &Subject, classes: i64) -> Value {
    let config = subject.model.backbone_config();
    let LoaderConfig { mean, std, img_size: [height, width], .. } = subject.recipe.loader(1);
    let (base, features, pool, model_args) = timm_words(config);
    // timm does not know the architectures that ship with Polyptych; all their numbers are given.
    let name = &subject.recipe.backbone.name;
    let architecture = if name.contains("_micro_") { base } else { name };
    json!({
        "architecture": architecture,
        "num_classes": classes,
        "num_features": features,
        "global_pool": pool,
        "model_args": model_args,
        "pretrained_cfg": {
            "input_size": [3, height, width],
            "fixed_input_size": true,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": mean,
            "std": std,
            "num_classes": classes,
            "first_conv": "patch_embed.proj",
            "classifier": head_name(config),
        },
    })
}

/// An architecture of timm's with the same code, the width of its features, its pooling, and all
/// numbers that it is built from.
fn timm_words(config: &BackboneConfig) -> (&'static str, i64, &'static str, Value) {
    match config {
        BackboneConfig::Swin(swin) => (
            "swin_tiny_patch4_window7_224",
            swin.embed_dim << (swin.depths.len() - 1),
            "avg",
            json!({
                "img_size": swin.img_size, "patch_size": swin.patch_size, "in_chans": swin.in_chans,
                "embed_dim": swin.embed_dim, "depths": swin.depths, "num_heads": swin.num_heads,
                "window_size": swin.window_size, "mlp_ratio": swin.mlp_ratio,
                "qkv_bias": swin.qkv_bias,
            }),
        ),
        BackboneConfig::Vit(vit) => {
            let pool = if vit.global_pool == GlobalPool::Avg { "avg" } else { "token" };
            let mut args = json!({
                "img_size": vit.img_size, "patch_size": vit.patch_size, "in_chans": vit.in_chans,
                "embed_dim": vit.embed_dim, "depth": vit.depth, "num_heads": vit.num_heads,
                "mlp_ratio": vit.mlp_ratio, "qkv_bias": vit.qkv_bias,
                "init_values": vit.init_values, "class_token": vit.class_token,
                "reg_tokens": vit.reg_tokens, "no_embed_class": vit.no_embed_class,
                "global_pool": pool,
            });
            if is_broken(vit.img_size, vit.patch_size) {
                // timm pads to whole patches, and resamples positions to them, only when asked.
                args["dynamic_img_size"] = json!(true);
                args["dynamic_img_pad"] = json!(true);
            }
            ("vit_base_patch16_224", vit.embed_dim, pool, args)
        }
    }
}
