//! The flags of `cargo xtask load`.

use std::path::PathBuf;

use clap::Parser;

/// Let many clients ask a server, compare every answer, and write times and memory
#[derive(Parser)]
#[command(name = "load")]
pub(crate) struct Load {
    /// Folder of a run or of a merged model [default: the quickstart, trained and merged for it]
    pub(crate) run: Option<PathBuf>,
    /// Folder of photographs [default: drawn scenes of 320 x 240 pixels]
    pub(crate) photographs: Option<PathBuf>,
    /// Clients that ask as fast as they are answered; an overload has four times as many
    #[arg(long, default_value_t = 64, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub(crate) clients: usize,
    /// Seconds at saturation
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(6..))]
    pub(crate) seconds: u64,
    /// Seconds of the overload, and of the part in which the server is killed [default: as long as at
    /// saturation]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(6..))]
    pub(crate) other_seconds: Option<u64>,
    /// Python with torch, fastapi, uvicorn, numpy and Pillow: compare with the same model there
    #[arg(long, value_name = "PYTHON")]
    pub(crate) peer: Option<PathBuf>,
    /// Seconds of each measurement of the comparison: for every server, round and question
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) peer_seconds: u64,
    /// Use this program, rather than one that is built now
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
}
