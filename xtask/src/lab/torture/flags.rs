//! The flags of `cargo xtask torture`.

use std::path::PathBuf;

use clap::Parser;

/// Kill and resume a training run at random moments, and compare with one left alone
#[derive(Parser)]
#[command(name = "torture")]
pub(crate) struct Torture {
    /// Name of a shipped recipe, or a TOML file
    #[arg(long, default_value = "quickstart", value_name = "NAME|PATH")]
    pub(crate) recipe: String,
    /// Number of kills
    #[arg(long, default_value_t = 200)]
    pub(crate) kills: u64,
    /// Processes of a run; of several, one rank at a time is killed, or the program that started
    /// them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) nproc: u16,
    /// Steps of one run, each of which is saved
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// Longest life of a process, in seconds
    #[arg(long, default_value_t = 6.0)]
    pub(crate) life: f64,
    /// Override a field of the recipe; an evaluation must be shorter than a life
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Seed of the moments
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
