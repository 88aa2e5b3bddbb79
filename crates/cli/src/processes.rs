//! The processes of a run: what each does, and where the run is that they go on with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use polyptych_engine::{DataSets, ParameterSummary, Ranks, Recipe, StagedRun};

use crate::output::{self, say};

/// The key under which the folder of a run outlives a restart of its processes.
const RUN: &str = "run";

/// Parameters that train are float32.
const BYTES_OF_NUMBER: usize = 4;

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
        let is_there = |path: &Path| path.join("recipe.toml").exists() || StagedRun::is(path);
        let there = known.filter(|path| is_there(Path::new(path)));
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

/// `runs/<name>`, or `runs/<name>-2` and so on where that is taken.
pub(crate) fn free_folder(name: &str) -> PathBuf {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let names = std::iter::once(name.to_owned()).chain(numbered);
    let mut paths = names.map(|name| Path::new("runs").join(name));
    paths.find(|path| !path.exists()).expect("there are infinitely many numbers")
}

/// Keeps what this process says in `logs/rank-N.log` of the run in `path`, where there are several:
/// standard error has the words of the first alone, and errors.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn log(ranks: &Ranks, path: &Path) -> Result<()> {
    if !ranks.are_many() {
        return Ok(());
    }
    let logs = path.join("logs");
    // Any process may come first; the folder of the run is there.
    if let Err(error) = std::fs::create_dir(&logs) {
        ensure!(logs.is_dir(), "{}: {error}", logs.display());
    }
    let file = logs.join(format!("rank-{}.log", ranks.rank()));
    output::log_to(&file).with_context(|| file.display().to_string())
}

/// Says what each of `size` processes would do, `local_size` of them on one machine.
///
/// # Errors
/// Data that cannot be opened, or a model that cannot be built.
pub(crate) fn plan(recipe: &Recipe, size: usize, local_size: usize) -> Result<ExitCode> {
    let data = DataSets::open(recipe)?;
    // A model that cannot be built is refused here, as training would.
    let parameters = ParameterSummary::of_recipe(recipe)?.total();
    let images = recipe.data.batch_size.min(data.train.dataset().len());
    let (steps, batches) = (recipe.train.steps, data.eval.num_batches());
    let threads = DataSets::threads_of(local_size);
    for rank in 0..size {
        let [first, end] = [rank, rank + 1].map(|rank| images * rank / size);
        let measured = (rank..batches).step_by(size).count();
        say!(
            "rank {rank} of {size}: {} of the {images} images of each of {steps} steps, {measured} \
             of the {batches} batches of an evaluation, threads that decode: {threads}",
            end - first
        );
    }
    if size == 1 {
        return Ok(ExitCode::SUCCESS);
    }
    let bytes = parameters.trainable as usize * BYTES_OF_NUMBER;
    say!(
        "gradients of a step: {bytes} bytes, of which a ring sends {} from each rank",
        2 * (size - 1) * bytes / size
    );
    Ok(ExitCode::SUCCESS)
}
