//! Everything between a photograph and our numbers that is not in an exported graph.

use std::path::{Path, PathBuf};

use polyptych_formats::file;
use serde_json::{Map, Value, json};

use super::subject::Subject;
use crate::Result;

/// Reads the settings and does what they say.
const SCRIPT: &str = include_str!("predict.py");

/// How photographs become the input, and what becomes of every raw output.
///
/// `preprocess` holds, in this order: orientation by EXIF, `size` as `[height, width]` without
/// keeping the ratio of sides, by `resize`, then
/// `(value * scale - mean) / std` by channel.
/// `tasks` holds every task's `kind`, classes and `output`: `resize` back to the photograph, then
/// `activation`, and what the values are.
pub(super) fn settings(subject: &Subject) -> Value {
    let loader = subject.recipe.loader(1);
    let tasks: Map<String, Value> = subject.model.tasks.iter().map(task).collect();
    json!({
        "preprocess": {
            "exif_orientation": true,
            "size": loader.img_size,
            "channel_order": "RGB",
            "resize": {
                "filter": "bicubic", "a": -0.5, "antialias": true, "keep_aspect_ratio": false,
                "rounds_to": "uint8", "same_as": "PIL.Image.Resampling.BICUBIC",
            },
            "scale": 1.0 / 255.0,
            "value_range": [0.0, 1.0],
            "mean": loader.mean,
            "std": loader.std,
            "layout": "NCHW",
            "dtype": "float32",
        },
        "precision": {"file": "fp32", "run": subject.run.recipe.precision},
        "tasks": tasks,
    })
}

fn task(task: &crate::Task) -> (String, Value) {
    let mut spec = json!(task.spec);
    let resize = json!({"mode": "bilinear", "align_corners": false, "to": "photograph"});
    spec["output"] = task.activation();
    spec["output"]["name"] = json!(task.spec.name);
    spec["output"]["resize"] = if task.spec.is_dense() { resize } else { Value::Null };
    spec["output"]["no_label"] = json!("NaN");
    (task.spec.name.clone(), spec)
}

/// Writes settings and script beside the file `out`, and gives their paths.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn write_beside(subject: &Subject, out: &Path) -> Result<[PathBuf; 2]> {
    let [json, script] = beside(out);
    file::write_aside(&json, format!("{:#}\n", settings(subject)).as_bytes())?;
    file::write_aside(&script, SCRIPT.as_bytes())?;
    Ok([json, script])
}

/// Where settings and script of the file `out` stand: `model.onnx.json`, `model.onnx.py`.
pub(super) fn beside(out: &Path) -> [PathBuf; 2] {
    ["json", "py"].map(|extension| {
        let mut name = out.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        name.into()
    })
}
