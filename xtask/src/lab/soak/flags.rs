//! The flags of `cargo xtask soak`.

use std::path::PathBuf;

use clap::Parser;

/// Train methods of a recipe for many steps, and write how much memory they hold
#[derive(Parser)]
#[command(name = "soak")]
pub(crate) struct Soak {
    /// Name of a shipped recipe, or a TOML file; its `compare` lists the other methods
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Train only these methods, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// Steps of each run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// Steps between evaluations, each of which saves
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// Runs at a time, of one thread each
    #[arg(long, default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub(crate) jobs: usize,
    /// Override a field of the recipe
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}
