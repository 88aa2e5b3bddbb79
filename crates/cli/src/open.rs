//! How a command opens a run.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use polyptych_engine::OpenRun;

/// Which weights of a run, and where they compute.
#[derive(Debug, Args)]
pub(crate) struct OpenFlags {
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
}

impl OpenFlags {
    /// The run, or the merged model, in the folder `path`.
    pub(crate) fn open(&self, path: &Path) -> Result<OpenRun> {
        Ok(OpenRun::open(path, self.best, self.device.as_deref())?)
    }
}
