//! The flags of `cargo xtask reproduce`.

use std::path::PathBuf;

use clap::Parser;

/// Train every method of a recipe with several seeds, and write the table that compares them
#[derive(Parser)]
#[command(name = "reproduce")]
pub(crate) struct Reproduce {
    /// Name of a shipped recipe, or a TOML file; its `compare` lists the other methods
    pub(crate) recipe: String,
    /// Number of seeds: 0, 1 and so on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// First seed to train; the table keeps what it has of the seeds before it
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "tune")]
    pub(crate) first_seed: u64,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Train only these methods, separated by commas; others stay in the table where they are done
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// Choose settings for every method instead, by the recipe's `tune`; several processes share
    /// the work
    #[arg(long, conflicts_with = "tuned")]
    pub(crate) tune: bool,
    /// Train with the settings that `--tune` chose, as a comparison of its own
    #[arg(long)]
    pub(crate) tuned: bool,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}
