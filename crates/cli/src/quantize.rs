//! `polyptych quantize`: a merged model whose linear maps are of int8.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use polyptych_engine::{
    ActivationRange, OpenRun, QuantizeOptions, QuantizeReport, QuantizedLayer, quantize,
};

use crate::command::Subcommand;
use crate::output::{note, say};

/// Quantise a merged model to int8, and measure every task before and after
#[derive(Debug, Parser)]
#[command(
    name = "quantize",
    after_help = "Examples:\n  polyptych quantize runs/quickstart/merged --calibrate photographs\n  polyptych quantize merged --calibrate photographs --activations static --max-drop 0.01 --out small"
)]
pub(crate) struct Quantize {
    /// Folder of a merged model
    merged: PathBuf,
    /// Photographs, or folders (searched recursively), by which inputs of layers are measured
    #[arg(long, value_name = "DATA", required = true, num_args = 1..)]
    calibrate: Vec<PathBuf>,
    /// Folder of the quantised model [default: MERGED/quantized]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Maximum number of photographs, evenly spaced
    #[arg(long, value_name = "N", default_value_t = 128)]
    num_samples: usize,
    /// By which range inputs of layers become bytes
    #[arg(long, value_enum, default_value_t)]
    activations: Range,
    /// Maximum relative drop of a task's score on the evaluation data; layers stay in floating point
    /// until it is met
    #[arg(long, value_name = "PART", default_value_t = 0.005)]
    max_drop: f64,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

/// Ranges of inputs.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Range {
    /// That of each token as it comes, which cuts nothing off
    #[default]
    Dynamic,
    /// That of all calibration images, which ONNX files have in any case
    Static,
}

impl From<Range> for ActivationRange {
    fn from(range: Range) -> Self {
        match range {
            Range::Dynamic => ActivationRange::Dynamic,
            Range::Static => ActivationRange::Static,
        }
    }
}

impl Subcommand for Quantize {
    fn run(flags: &Self) -> Result<ExitCode> {
        let run = OpenRun::open(&flags.merged, false, None)?;
        let out = flags.out.clone().unwrap_or_else(|| flags.merged.join("quantized"));
        let options = QuantizeOptions {
            calibrate: flags.calibrate.clone(),
            num_samples: flags.num_samples,
            activations: flags.activations.into(),
            max_drop: flags.max_drop,
        };
        let report = quantize(&run, &options, &out, &mut |line| note!("{line}"))?;
        if flags.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        show(&report);
        say!("{}", out.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Scores, sizes, and the layers that stay as they are.
pub(crate) fn show(report: &QuantizeReport) {
    report.tasks.iter().for_each(|task| say!("{task}"));
    let (layers, int8) = (report.layers.len(), report.int8_layers());
    say!("{int8} of {layers} linear maps in int8; output errors, |y - y'| / |y|:");
    for QuantizedLayer { name, int8, error } in &report.layers {
        say!("  {name:<44} {} {:.3} %", if *int8 { "int8 " } else { "stays" }, 100.0 * error);
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (before, after) = (megabytes(report.bytes_before), megabytes(report.bytes_after));
    say!("{before:.1} MB before, {after:.1} MB after");
}
