//! One candidate for some steps, and what it scored.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::settings::Settings;
use crate::lab::reproduce::outcome::{TaskScores, scores};
use crate::lab::reproduce::plan::{Plan, Run, arguments};
use crate::lab::reproduce::record::{Record, remove, write_whole};

/// A call of `polyptych train` whose model nobody keeps.
#[derive(Debug)]
pub(super) struct Trial {
    /// Index among the candidates of its row.
    pub(super) candidate: usize,
    /// What the candidate sets.
    sets: Vec<String>,
    /// The call.
    pub(super) run: Run,
}

/// What is kept of a trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tried {
    /// Index among the candidates of its row.
    pub(crate) candidate: usize,
    /// What the candidate sets.
    pub(crate) sets: Vec<String>,
    /// The headline of each task.
    pub(crate) tasks: Vec<TaskScores>,
    /// Why there are no scores.
    pub(crate) failed: Option<String>,
    /// What it was made with.
    #[serde(flatten)]
    pub(crate) record: Record,
}

impl Trial {
    /// The trials of `candidates` in `round`.
    pub(super) fn of(
        plan: &Plan,
        settings: &Settings,
        place: &Place,
        round: usize,
        candidates: &[usize],
    ) -> Vec<Self> {
        let row = place.row(plan);
        let sets = settings.candidates(&row.tune);
        let seed = settings.seed + round as u64;
        let mut folder = plan.folder.join(&row.slug);
        folder.extend(place.task.as_deref());
        folder.push(format!("round-{round}"));
        let trial = |&candidate: &usize| {
            let sets = sets[candidate].clone();
            let own = [settings.sets(round), sets.clone()].concat();
            let run = Run {
                row: place.row,
                seed,
                task: place.task.clone(),
                folder: folder.join(format!("candidate-{candidate}")),
                arguments: arguments(row, seed, place.task.as_ref(), &own),
            };
            Self { candidate, sets, run }
        };
        candidates.iter().map(trial).collect()
    }

    /// What it scored, where it is done.
    ///
    /// # Errors
    /// A result of another recipe, or with other arguments.
    pub(super) fn tried(&self, plan: &Plan) -> Result<Option<Tried>> {
        let path = self.path("tried.json");
        if !path.exists() {
            return Ok(None);
        }
        let named = || path.display().to_string();
        let tried: Tried = serde_json::from_slice(&std::fs::read(&path).with_context(named)?)
            .with_context(named)?;
        if !tried.record.belongs(plan, &self.run) {
            bail!(
                "{}: expected a trial of {} as it is now, found one of another recipe or with \
                 other arguments; remove the folder to try again",
                named(),
                plan.name
            );
        }
        Ok(Some(tried))
    }

    /// What it scored, where one of `tried` is it.
    pub(super) fn among(&self, tried: &[Tried], plan: &Plan) -> Option<Tried> {
        let own = tried.iter().find(|tried| tried.record.belongs(plan, &self.run));
        own.map(|tried| Tried { candidate: self.candidate, ..tried.clone() })
    }

    /// Takes it for this process until the file is dropped; none where another one has it.
    pub(super) fn claim(&self) -> Result<Option<File>> {
        let path = self.path("lock");
        let named = || path.display().to_string();
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(named)?;
        let file = File::create(&path).with_context(named)?;
        Ok(fs4::FileExt::try_lock(&file).is_ok().then_some(file))
    }

    /// Keeps its scores, or why there are none, and drops its model.
    pub(super) fn keep(&self, failed: Option<String>) -> Result<()> {
        let tasks = match failed {
            Some(_) => Vec::new(),
            None => scores(&self.run)?,
        };
        let headline = |task: TaskScores| TaskScores {
            task: task.task,
            scores: task.scores.into_iter().take(1).collect(),
        };
        let tried = Tried {
            candidate: self.candidate,
            sets: self.sets.clone(),
            tasks: tasks.into_iter().map(headline).collect(),
            failed,
            record: Record::read(&self.run)?.context("the record of a trial that is done")?,
        };
        let text = format!("{}\n", serde_json::to_string_pretty(&tried)?);
        write_whole(&self.path("tried.json"), text.as_bytes())?;
        remove(&self.run.folder)
    }

    fn path(&self, end: &str) -> PathBuf {
        self.run.folder.with_file_name(format!("candidate-{}.{end}", self.candidate))
    }
}
