//! A run in stages: one folder, one trainer after the other.
//!
//! Every stage is a run of its own, in `stages/<name>` of the folder; the last one is the run itself,
//! in the folder. `stages/stages.toml` has the whole recipe, `stages/done.json` the names of what is
//! finished. A stage is finished once it is trained and, where it says so, merged or pruned; whatever
//! a cut leaves undone is done again, and a stage that was cut goes on as any run does. So a run in
//! stages that was cut is the same run, bit for bit on the CPU.

mod results;

use std::fs::File;
use std::path::{Path, PathBuf};

use polyptych_distributed::Ranks;
use polyptych_formats::file;
use serde::{Deserialize, Serialize};

use crate::error::io;
use crate::recipe::runs::{PRUNED, STAGES};
use crate::run::checkpoint::read_json;
use crate::run::{BASELINES, RECIPE, STAGED, lock, place, require_new};
use crate::training::log::to_json;
use crate::training::ranks::ByRank;
use crate::{
    Baselines, Change, Error, Preparation, PruneReport, Recipe, Result, StageRecipe, StageResult,
    Trainer,
};

const DONE: &str = "done.json";

/// A run in stages.
#[derive(Debug)]
pub struct StagedRun {
    path: PathBuf,
    recipe: Recipe,
    baselines: Option<Baselines>,
    done: Done,
    /// Held by the first of several processes.
    _lock: Option<File>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    /// Names of the stages that are finished.
    stages: Vec<String>,
}

/// A stage that is open for training.
pub struct OpenStage {
    /// Its trainer.
    pub trainer: Trainer,
    /// What it began with; none where it goes on.
    pub preparation: Option<Preparation>,
    /// What has changed of its recipe.
    pub changes: Vec<Change>,
}

impl StagedRun {
    /// Makes the folder of a run of `recipe`, which has stages.
    ///
    /// # Errors
    /// A folder that holds anything or cannot be written.
    pub fn create(
        ranks: &Ranks,
        recipe: &Recipe,
        baselines: Option<&Baselines>,
        path: &Path,
    ) -> Result<Self> {
        let write = || {
            require_new(path)?;
            let mut aside = path.as_os_str().to_owned();
            aside.push(".part");
            let aside = PathBuf::from(aside);
            let folder = aside.join(STAGES);
            std::fs::create_dir_all(&folder).map_err(io(&folder))?;
            if let Some(baselines) = baselines {
                file::write_aside(&folder.join(BASELINES), to_json(baselines).as_bytes())?;
            }
            file::write_aside(&aside.join(STAGED), recipe.to_toml()?.as_bytes())?;
            place(&aside, path)
        };
        ranks.heard(if ranks.is_first() { write() } else { Ok(()) })?;
        ranks.barrier()?;
        Self::open(ranks, path)
    }

    /// Whether `path` is the folder of a run in stages.
    pub fn is(path: &Path) -> bool {
        path.join(STAGED).exists()
    }

    /// Opens the run in `path`.
    ///
    /// # Errors
    /// A folder that is no such run, or in which another trainer is at work.
    pub fn open(ranks: &Ranks, path: &Path) -> Result<Self> {
        let text = path.join(STAGED);
        let recipe = Recipe::open(&text, &[])?;
        let folder = path.join(STAGES);
        let (baselines, done) = (folder.join(BASELINES), folder.join(DONE));
        let baselines = baselines.exists().then(|| Baselines::open(&baselines)).transpose()?;
        let done = done.exists().then(|| read_json(&done)).transpose()?.unwrap_or_default();
        let lock = ranks.is_first().then(|| lock(&folder)).transpose()?;
        Ok(Self { path: path.into(), recipe, baselines, done, _lock: lock })
    }

    /// The recipe, with all stages.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What delta-m compares with.
    pub fn baselines(&self) -> Option<&Baselines> {
        self.baselines.as_ref()
    }

    /// Folder of the stage at `index`: that of the run for the last one.
    pub fn folder(&self, index: usize) -> PathBuf {
        match self.is_last(index) {
            true => self.path.clone(),
            false => self.path.join(STAGES).join(&self.stage(index).name),
        }
    }

    /// The first stage that is not finished; none where all are.
    pub fn next(&self) -> Option<usize> {
        self.recipe.stage.iter().position(|stage| !self.done.stages.contains(&stage.name))
    }

    /// Whether the result of the stage at `index` is the run's.
    pub fn is_last(&self, index: usize) -> bool {
        index + 1 == self.recipe.stage.len()
    }

    /// Opens the stage at `index` where it stands, or starts it, with `overrides` of its recipe. A
    /// finished one that has steps left by them is finished no more: what was made of it goes.
    ///
    /// # Errors
    /// As [`Trainer::start`] and [`Trainer::resume_with`]. A run whose first stage cannot start
    /// leaves nothing behind.
    pub fn open_stage(
        &mut self,
        ranks: &Ranks,
        index: usize,
        overrides: &[String],
    ) -> Result<OpenStage> {
        let folder = self.folder(index);
        let known = folder.join(RECIPE).exists().to_string();
        if ranks.of_first(&known)? == "true" {
            let (trainer, changes) = Trainer::resume_among(ranks, &folder, overrides)?;
            if trainer.step() < trainer.recipe().train.steps {
                self.reopen(ranks, index)?;
            }
            return Ok(OpenStage { trainer, preparation: None, changes });
        }
        let started = self.start(ranks, index, &folder, overrides);
        started.inspect_err(|_| self.discard_unless_begun(ranks, index))
    }

    /// Takes back that the stage at `index` is finished, and removes what was made of it.
    fn reopen(&mut self, ranks: &Ranks, index: usize) -> Result<()> {
        let name = self.stage(index).name.clone();
        if !self.done.stages.contains(&name) {
            return Ok(());
        }
        self.done.stages.retain(|done| *done != name);
        // A cut between both leaves a stage that is opened so once more.
        let write = || {
            self.result(index).map_or(Ok(()), |result| results::remove(&result))?;
            self.note(&self.done)
        };
        ranks.heard(if ranks.is_first() { write() } else { Ok(()) })?;
        ranks.barrier()?;
        Ok(())
    }

    fn start(
        &self,
        ranks: &Ranks,
        index: usize,
        folder: &Path,
        overrides: &[String],
    ) -> Result<OpenStage> {
        let recipe = self.recipe.of_stage(index, &self.path)?;
        let recipe = Recipe::parse(&recipe.name, &recipe.to_toml()?, overrides)?;
        let baselines = self.baselines.as_ref();
        let (trainer, preparation) = Trainer::start_among(ranks, recipe, baselines, folder)?;
        Ok(OpenStage { trainer, preparation: Some(preparation), changes: Vec::new() })
    }

    fn discard_unless_begun(&self, ranks: &Ranks, index: usize) {
        if ranks.is_first() && index == 0 {
            // The cause is on its way up; a folder that cannot be removed adds nothing to it.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    /// Does with the stage at `index`, which is trained, what its recipe says, and notes that it is
    /// finished. Its trainer is gone by then. What pruning did, where the first process pruned now.
    ///
    /// # Errors
    /// A model that does not merge, or a folder that cannot be written.
    pub fn finish_stage(&mut self, ranks: &Ranks, index: usize) -> Result<Option<PruneReport>> {
        let done = if ranks.is_first() { self.finish(index) } else { Ok(None) };
        let report = ranks.heard(done)?;
        ranks.barrier()?;
        self.done.stages.push(self.stage(index).name.clone());
        Ok(report)
    }

    /// Where the pruned model of the run lies; nothing of a run that ends with another.
    pub fn pruned(&self) -> Option<PathBuf> {
        let prunes = |stage: &StageRecipe| stage.result == StageResult::Prune;
        self.recipe.stage.last().filter(|stage| prunes(stage)).map(|_| self.path.join(PRUNED))
    }

    fn finish(&self, index: usize) -> Result<Option<PruneReport>> {
        let (stage, folder) = (self.stage(index), self.folder(index));
        let report = match self.result(index) {
            Some(out) if stage.result == StageResult::Prune => results::pruned(&folder, &out)?,
            Some(out) => {
                results::merged(&folder, &out)?;
                None
            }
            None => None,
        };
        if self.is_last(index) {
            self.drop_checkpoints()?;
        }
        let names = self.done.stages.iter().chain([&stage.name]).cloned().collect();
        self.note(&Done { stages: names })?;
        Ok(report)
    }

    /// Where the model lies that is made of the stage at `index`; nothing of one that stays as it is.
    fn result(&self, index: usize) -> Option<PathBuf> {
        let stage = self.stage(index);
        match stage.result {
            StageResult::Merge => Some(stage.folder(&self.path)),
            StageResult::Prune => Some(self.folder(index).join(PRUNED)),
            StageResult::Keep | StageResult::Drop => None,
        }
    }

    fn note(&self, done: &Done) -> Result<()> {
        let path = self.path.join(STAGES).join(DONE);
        Ok(file::write_aside(&path, to_json(done).as_bytes())?)
    }

    fn drop_checkpoints(&self) -> Result<()> {
        for (index, stage) in self.recipe.stage.iter().enumerate() {
            let folder = self.folder(index).join("checkpoints");
            if stage.result == StageResult::Drop && folder.exists() {
                std::fs::remove_dir_all(&folder).map_err(io(&folder))?;
            }
        }
        Ok(())
    }

    fn stage(&self, index: usize) -> &StageRecipe {
        &self.recipe.stage[index]
    }
}

/// The folders of all stages of the run in `path` that have begun, in their order, `path` last; `path`
/// alone where it has none.
///
/// # Errors
/// A recipe that cannot be read.
pub(crate) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    if !StagedRun::is(path) {
        return Ok(vec![path.into()]);
    }
    let recipe = Recipe::open(&path.join(STAGED), &[])?;
    let all = recipe.stage.iter().map(|stage| path.join(STAGES).join(&stage.name));
    let begun = all.chain([path.to_owned()]).filter(|folder| folder.join(RECIPE).exists());
    let begun: Vec<PathBuf> = begun.collect();
    match begun.is_empty() {
        true => {
            let reason = "expected a run, found one of whose stages none has begun".into();
            Err(Error::Run { path: path.into(), reason })
        }
        false => Ok(begun),
    }
}
