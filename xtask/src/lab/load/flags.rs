//! The flags of `cargo xtask load`.

use std::path::PathBuf;

use clap::Parser;

/// Let many clients ask a server, compare every answer, and write times and memory
#[derive(Parser)]
#[command(name = "load")]
pub(crate) struct Load {
    /// Folder of a run or of a merged model
    pub(crate) run: PathBuf,
    /// Folder of photographs
    pub(crate) photographs: PathBuf,
    /// Clients that ask as fast as they are answered; an overload has four times as many
    #[arg(long, default_value_t = 64, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) clients: usize,
    /// Seconds of each part
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(6..))]
    pub(crate) seconds: u64,
    /// Python with torch, fastapi, uvicorn and Pillow: compare with the same model there
    #[arg(long, value_name = "PYTHON")]
    pub(crate) peer: Option<PathBuf>,
    /// A `polyptych` program, in place of one that is built for it
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
