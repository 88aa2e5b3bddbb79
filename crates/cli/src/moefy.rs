//! `polyptych moefy`: a backbone with its hidden units in the order of their experts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_engine::{KMeansConfig, moefy_file};

use crate::command::Subcommand;
use crate::output::say;

/// Sort the hidden units of a backbone into experts
#[derive(Debug, Parser)]
#[command(
    name = "moefy",
    after_help = "Examples:\n  polyptych moefy vit_micro_patch8_128.scenes_cifar10 experts.safetensors --experts 16"
)]
pub(crate) struct Moefy {
    /// A shipped architecture.tag, another of timm's names, or a file or folder of weights
    weights: String,
    /// Where the sorted weights go, a safetensors file
    out: PathBuf,
    /// Experts in every MLP
    #[arg(long, default_value_t = 16)]
    experts: usize,
    /// Number of restarts of the clustering; the best result is kept
    #[arg(long, default_value_t = 10)]
    restarts: usize,
    /// Seed of the clustering
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Subcommand for Moefy {
    fn run(flags: &Self) -> Result<ExitCode> {
        if flags.out.exists() {
            bail!("{}: expected a new file, found one", flags.out.display());
        }
        let config =
            KMeansConfig { restarts: flags.restarts, seed: flags.seed, ..Default::default() };
        say!("{:<24} {:>6} {:>12} {:>12}", "layer", "units", "objective", "random split");
        moefy_file(&flags.weights, flags.experts, &config, &flags.out, |layer, _| {
            let (path, units) = (&layer.path, layer.hidden);
            say!(
                "{path:<24} {units:>6} {:>12.2} {:>12.2}",
                layer.objective,
                layer.random_objective
            );
        })?;
        say!("{}", flags.out.display());
        Ok(ExitCode::SUCCESS)
    }
}
