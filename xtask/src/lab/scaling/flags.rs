//! The flags of `cargo xtask scaling`.

use std::path::PathBuf;

use clap::Parser;

use super::work::Work;

/// Measure training in two processes beside one, and PyTorch's DDP on the same work
#[derive(Parser)]
#[command(name = "scaling")]
pub(crate) struct Scaling {
    /// What trains; all of it where none is named
    #[arg(long, value_enum)]
    pub(crate) work: Vec<Work>,
    /// Images of a step, of all processes together
    #[arg(long, default_value_t = 8)]
    pub(crate) batch: usize,
    /// Steps of each run
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(6..))]
    pub(crate) steps: u64,
    /// Measure PyTorch's DDP as well
    #[arg(long)]
    pub(crate) peers: bool,
    /// Python with torch, timm and peft, for the peers
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
