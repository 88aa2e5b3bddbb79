//! The processes of a run: what each does, and where the run is that they go on with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use polyptych_engine::{DataSets, Ranks, Recipe};

use crate::output::say;

/// The key under which the folder of a run outlives a restart of its processes.
const RUN: &str = "run";

/// The processes of a run, and whether a program has started them anew after one of them ended.
pub(crate) struct Processes {
    pub(crate) ranks: Ranks,
    pub(crate) restarted: bool,
}

impl Processes {
    /// The run that an earlier start of the processes has begun; none where there is none.
    ///
    /// # Errors
    /// A process that is gone.
    pub(crate) fn begun(&self, out: Option<&Path>) -> Result<Option<PathBuf>> {
        if !self.restarted {
            return Ok(None);
        }
        let known = match out {
            Some(out) => Some(out.display().to_string()),
            None => self.ranks.kept(RUN)?,
        };
        let there = known.filter(|path| Path::new(path).join("recipe.toml").exists());
        let path = self.ranks.of_first(&there.unwrap_or_default())?;
        Ok((!path.is_empty()).then(|| path.into()))
    }

    /// Notes where the run is, for a later start of its processes.
    ///
    /// # Errors
    /// A process that is gone.
    pub(crate) fn remember(&self, path: &Path) -> Result<()> {
        if self.ranks.is_first() {
            self.ranks.keep(RUN, &path.display().to_string())?;
        }
        Ok(())
    }
}

/// Says what each of `size` processes would do.
///
/// # Errors
/// Data that cannot be opened.
pub(crate) fn plan(recipe: &Recipe, size: usize) -> Result<ExitCode> {
    let data = DataSets::open(recipe)?;
    let images = recipe.data.batch_size.min(data.train.dataset().len());
    let (steps, batches) = (recipe.train.steps, data.eval.num_batches());
    for rank in 0..size {
        let [first, end] = [rank, rank + 1].map(|rank| images * rank / size);
        let measured = (rank..batches).step_by(size).count();
        say!(
            "rank {rank} of {size}: {} of the {images} images of each of {steps} steps, {measured} \
             of the {batches} batches of an evaluation",
            end - first
        );
    }
    Ok(ExitCode::SUCCESS)
}
