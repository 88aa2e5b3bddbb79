//! A model in the formats of others, each read back and compared before it is announced.

mod check;
pub(crate) mod convert;
pub(crate) mod delta;
pub(crate) mod difference;
pub(crate) mod merge;
mod peft;
pub(crate) mod prune;
pub(crate) mod quantize;
mod settings;
pub(crate) mod subject;
mod timm;
mod whole;

use std::path::Path;

use crate::error::io;
use crate::{Error, OpenRun, Result};
use subject::{ExportReport, Subject};

/// What a model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// The plain backbone, with its classifier where all tasks name one class per image:
    /// `model.safetensors` and `config.json`.
    Timm,
    /// The factors of LoRA, DoRA or EMTAL, or those that MTLoRA's tasks share, as an adapter
    /// folder, and the weights that they stand beside.
    Peft,
    /// All tasks in one file: one input, an output per task.
    TorchScript,
    /// The same for ONNX's runtimes.
    Onnx,
}

/// Writes the model of `run`, trained or merged, as `format` to `out`: a new folder or, for
/// TorchScript and ONNX, a file, with what goes in and comes out in `OUT.json` and a script that
/// does it in `OUT.py`. What it was compared on goes to the safetensors file `probe`, for
/// others to repeat it: `images`, our `output.<task>`, `level.<index>` and `logits`.
///
/// # Errors
/// A model that the format cannot express, as all but ONNX cannot a quantised one, something at `out` already, or a file that gives other
/// outputs than the trained model by more than 1e-4 of the largest; both are compared in float32.
pub fn export(
    run: &OpenRun,
    format: ExportFormat,
    out: &Path,
    probe: Option<&Path>,
) -> Result<ExportReport> {
    let [json, script] = settings::beside(out);
    let whole = matches!(format, ExportFormat::TorchScript | ExportFormat::Onnx);
    let beside = if whole { &[json, script][..] } else { &[] };
    if let Some(taken) =
        std::iter::once(out).chain(beside.iter().map(|p| p.as_path())).find(|p| p.exists())
    {
        let reason = "expected a new file or folder, found one that exists".into();
        return Err(Error::Run { path: taken.into(), reason });
    }
    if whole {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), |folder| std::fs::metadata(folder).map(drop).map_err(io(folder)))?;
    }
    if run.quantized.is_some() && format != ExportFormat::Onnx {
        let reason = format!(
            "expected ONNX as the format of a quantised model, found {format:?}: export the merged \
             model that it was made from"
        );
        return Err(Error::Run { path: run.folder.path().into(), reason });
    }
    let subject = Subject::new(run)?;
    let written = match format {
        ExportFormat::Timm => timm::write(&subject, out),
        ExportFormat::Peft => peft::write(&subject, out),
        ExportFormat::TorchScript => whole::torchscript(&subject, out),
        ExportFormat::Onnx => whole::onnx(&subject, out),
    };
    let checked = written.and_then(|report| {
        probe.map_or(Ok(()), |path| subject.save_probe(path))?;
        report.check()
    });
    checked.inspect_err(|_| {
        discard(out);
        beside.iter().for_each(|path| discard(path));
    })
}

fn discard(out: &Path) {
    // The cause is on its way up; what cannot be removed adds nothing to it.
    let _ = if out.is_dir() { std::fs::remove_dir_all(out) } else { std::fs::remove_file(out) };
}
