//! All tasks in one file that needs none of our code: TorchScript or ONNX.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_formats::{Onnx, Script, ScriptConfig, Traced};
use polyptych_tensor::{Device, Precision, Tensor, no_grad};
use serde_json::json;

use super::settings::{settings, write_beside};
use super::subject::{ExportReport, Subject};
use crate::{ActivationRange, Difference, Error, Result};

/// Writes `forward(image)`: normalised images `[batch, 3, height, width]` of the recipe's size to
/// raw outputs by task.
pub(super) fn torchscript(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let config = Config::of(subject)?;
    Script::save(&traced(subject, &config.script(), out)?)?;
    let script = Script::open(out)?;
    let differences = compare(subject, |images| Ok(script.forward(images)?))?;
    let mut report = whole(subject, differences, out)?;
    let [_, height, width] = config.image;
    report.notes.push(format!(
        "forward(image: [batch, 3, {height}, {width}]) gives a dictionary of raw outputs by task; \
         how images go in and what becomes of outputs is in extra/polyptych.json too"
    ));
    Ok(report)
}

/// Writes the same as a graph from `image` to an output by the name of each task.
pub(super) fn onnx(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let config = Config::of(subject)?;
    Onnx::save(&traced(subject, &config.script(), out)?)?;
    let file = Onnx::open(out)?;
    let differences = compare(subject, |images| Ok(file.forward(images)?))?;
    let mut report = whole(subject, differences, out)?;
    let ([_, height, width], opset) = (config.image, file.opset());
    report.notes.push(format!(
        "ONNX opset {opset}, {} operators: image [batch, 3, {height}, {width}] to raw outputs by \
         task; how images go in and what becomes of outputs is in the metadata `polyptych` too",
        file.operators()
    ));
    report.notes.extend(note_on_bytes(subject));
    report.notes.push("the file's operators were run on LibTorch, not by an ONNX runtime".into());
    Ok(report)
}

/// What the file of a quantised model has in the place of ranges of tokens.
fn note_on_bytes(subject: &Subject) -> Option<String> {
    let report = subject.run.quantized.as_ref()?;
    let layers = report.int8_layers();
    let what = format!("{layers} linear maps of int8, as QuantizeLinear and DequantizeLinear");
    Some(match report.activations {
        ActivationRange::Static => what,
        ActivationRange::Dynamic => format!(
            "{what}, with the ranges of the calibration where `predict` takes those of each token"
        ),
    })
}

/// The report on `out`, with settings and script beside it.
fn whole(
    subject: &Subject,
    differences: BTreeMap<String, Difference>,
    out: &Path,
) -> Result<ExportReport> {
    let [json, script] = write_beside(subject, out)?;
    let mut report = subject.report(differences, vec![out.into(), json, script]);
    let script = report.files[2].display();
    let note = format!(
        "python {script} PHOTOGRAPH OUT.npz gives what `predict --raw` gives, but for how Pillow \
         decodes JPEG"
    );
    report.notes.push(note);
    let precision = subject.run.recipe.precision;
    if precision != Precision::Fp32 {
        report.notes.push(format!(
            "the file computes in float32 and the run in {}: `predict` differs from it by the \
             rounding of the run",
            json!(precision)
        ));
    }
    Ok(report)
}

fn traced<'a>(
    subject: &Subject,
    config: &'a ScriptConfig<'a>,
    out: &'a Path,
) -> Result<Traced<'a>> {
    Traced::new::<Error>(out, config, |images| subject.model.forward(images, false))
}

struct Config {
    names: Vec<String>,
    image: [i64; 3],
    extra: String,
}

impl Config {
    fn of(subject: &Subject) -> Result<Self> {
        if subject.model.store.device() != Device::Cpu {
            return Err(subject.refused("expected the model on the CPU: set --device cpu"));
        }
        let names = subject.model.tasks.iter().map(|task| task.spec.name.clone()).collect();
        let [height, width] = subject.recipe.data.img_size.map(|extent| extent as i64);
        let extra = format!("{:#}\n", settings(subject));
        Ok(Self { names, image: [3, height, width], extra })
    }

    fn script(&self) -> ScriptConfig<'_> {
        ScriptConfig { image: self.image, outputs: &self.names, extra: &self.extra }
    }
}

/// Largest difference by task, over the probe batch and over its first image alone.
fn compare(
    subject: &Subject,
    file: impl Fn(&Tensor) -> Result<Vec<(String, Tensor)>>,
) -> Result<BTreeMap<String, Difference>> {
    let mut differences = BTreeMap::new();
    for images in [subject.images.shallow_clone(), subject.images.narrow(0, 0, 1)] {
        let ours = no_grad(|| subject.model.forward(&images, false))?;
        for ((name, found), ours) in file(&images)?.into_iter().zip(&ours) {
            let difference = Difference::between(&found, ours);
            let before = differences.entry(name).or_insert(difference);
            *before = before.or_worse(difference);
        }
    }
    Ok(differences)
}
