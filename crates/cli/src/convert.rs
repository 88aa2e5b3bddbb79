//! `polyptych convert`: weights of any source under timm's names.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_engine::{Choice, PROBE_IMAGES, convert};

use crate::command::Subcommand;
use crate::output::say;

/// Write weights of any source under timm's names
#[derive(Debug, Parser)]
#[command(
    name = "convert",
    after_help = "Examples:\n  polyptych convert swin_tiny_patch4_window7_224.ms_in22k --out swin.safetensors\n  polyptych convert vit.pth --adapter lora --out vit.safetensors"
)]
pub(crate) struct Convert {
    /// A file or folder of weights, or a name of timm
    weights: String,
    /// New safetensors file
    #[arg(long)]
    out: PathBuf,
    /// Folder of a LoRA or DoRA adapter of PEFT's that is merged in
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Which of several models in the file to read: its key (state_dict, student, ..) or the prefix
    /// of its names
    #[arg(long)]
    key: Option<String>,
    /// Ignore averaged weights (state_dict_ema, model_ema, teacher)
    #[arg(long)]
    no_ema: bool,
}

impl Subcommand for Convert {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.out.exists() {
            bail!("{}: expected a new file, found one", flags.out.display());
        }
        let choice = Choice { use_ema: !flags.no_ema, key: flags.key.clone() };
        let done = convert(&flags.weights, flags.adapter.as_deref(), &choice, &flags.out)?;
        let (written, difference) = (done.written, done.difference);
        say!(
            "{}: {written} tensors, largest difference {difference:.1e} when read back",
            done.source
        );
        match done.outputs {
            Some(worst) => say!("outputs: largest difference {worst} over {PROBE_IMAGES} images"),
            None => {
                say!("outputs: not compared, because the weights are only a part of a backbone")
            }
        }
        done.notes.iter().for_each(|note| say!("{note}"));
        if !done.left_out.is_empty() {
            say!("left out: {}", done.left_out.join(", "));
        }
        say!("{}", flags.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
