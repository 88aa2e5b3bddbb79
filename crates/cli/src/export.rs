//! `polyptych export`: a model in the formats of others.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use polyptych_engine::{ExportFormat, OpenRun, export};

use crate::command::Subcommand;
use crate::output::{note, say};

/// Export a run or a merged model to timm, PEFT, TorchScript or ONNX
#[derive(Debug, Parser)]
#[command(
    name = "export",
    after_help = "Examples:\n  polyptych export runs/quickstart --format onnx --out model.onnx\n  polyptych export runs/lora --format peft --out adapter"
)]
pub(crate) struct Export {
    /// Folder of a run or of a merged model
    run: PathBuf,
    /// What is written
    #[arg(long)]
    format: Format,
    /// New folder or, for TorchScript and ONNX, new file
    #[arg(long)]
    out: PathBuf,
    /// Keep the probe batch and the model's outputs in this safetensors file
    #[arg(long)]
    probe: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
}

impl Subcommand for Export {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.run, flags.best, Some("cpu"))?;
        let report = export(&run, flags.format.into(), &flags.out, flags.probe.as_deref())?;
        for (output, difference) in &report.differences {
            say!("{output}: largest difference {difference} over {} images", report.probe_images);
        }
        report.notes.iter().for_each(|note| note!("{note}"));
        for file in &report.files {
            say!("{}", file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Formats of a model.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A folder that timm's create_model reads: the plain backbone, with its classifier
    Timm,
    /// An adapter folder that PEFT's PeftModel reads, and its base weights: LoRA, DoRA, EMTAL, and
    /// what MTLoRA's tasks share
    Peft,
    /// One file with one input and an output per task, for torch.jit.load
    Torchscript,
    /// One file with one input and an output per task, for onnxruntime and others
    Onnx,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Timm => ExportFormat::Timm,
            Format::Peft => ExportFormat::Peft,
            Format::Torchscript => ExportFormat::TorchScript,
            Format::Onnx => ExportFormat::Onnx,
        }
    }
}
