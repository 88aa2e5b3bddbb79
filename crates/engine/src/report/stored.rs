//! What lies in the folder of a run, read back for a page.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use polyptych_data::TaskSpec;
use serde::Deserialize;
use serde_json::Value;

use super::provenance::{Call, calls};
use super::scalars::scalars;
use crate::error::io;
use crate::run::checkpoint::read_json;
use crate::training::log::for_each_line;
use crate::{Baselines, MeanConflict, Recipe, Result, RunFolder};

/// A run as its files have it.
#[derive(Debug)]
pub(super) struct StoredRun {
    /// What the page calls it.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) recipe: Recipe,
    pub(super) text: String,
    pub(super) specs: Vec<TaskSpec>,
    pub(super) baselines: Option<Baselines>,
    pub(super) calls: Vec<Call>,
    /// Steps and values by the names of scalars.
    pub(super) series: BTreeMap<String, Vec<(f64, f64)>>,
    /// The last evaluation, where there is one.
    pub(super) evaluation: Option<StoredEvaluation>,
    /// Closing rows of the recipe that were trained beside it.
    pub(super) compared: Vec<(String, StoredEvaluation)>,
    pub(super) conflict: Option<MeanConflict>,
}

/// An evaluation as a file has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct StoredEvaluation {
    pub(super) tasks: Vec<StoredTask>,
    pub(super) delta_m: Option<StoredDelta>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredDelta {
    pub(super) percent: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredTask {
    pub(super) task: String,
    pub(super) scores: Vec<StoredScore>,
    #[serde(default)]
    pub(super) classes: Vec<StoredClass>,
    #[serde(default)]
    pub(super) confusion: Vec<Vec<u64>>,
    #[serde(default)]
    pub(super) precision_recall: Vec<StoredPoint>,
    #[serde(default)]
    pub(super) errors: Option<StoredHistogram>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredScore {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) higher_is_better: bool,
    pub(super) unit: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredClass {
    pub(super) class: String,
    pub(super) metric: String,
    pub(super) value: Option<f64>,
    pub(super) labelled: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct StoredPoint {
    pub(super) threshold: f64,
    pub(super) precision: f64,
    pub(super) recall: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredHistogram {
    pub(super) unit: String,
    pub(super) edges: Vec<f64>,
    pub(super) counts: Vec<u64>,
}

impl StoredEvaluation {
    /// The task of that name.
    pub(super) fn task(&self, name: &str) -> Option<&StoredTask> {
        self.tasks.iter().find(|task| task.task == name)
    }

    /// The headline of the task of that name.
    pub(super) fn headline(&self, name: &str) -> Option<&StoredScore> {
        self.task(name)?.scores.first()
    }
}

impl StoredRun {
    /// Reads the run in `path`.
    ///
    /// # Errors
    /// A folder that is no run, or a file of it that cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let (recipe, text) = folder.recipe()?;
        let whole = path.canonicalize().unwrap_or_else(|_| path.into());
        let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let last = recipe.stage_name.as_ref().filter(|stage| **stage != name);
        let name = last.map_or(name.clone(), |stage| format!("{name} {stage}"));
        Ok(Self {
            name,
            path: path.into(),
            specs: folder.specs()?,
            baselines: folder.baselines()?,
            calls: calls(path)?,
            series: series(path)?,
            evaluation: evaluation(path)?,
            compared: compared(path, &recipe)?,
            conflict: MeanConflict::of_run(path).ok(),
            recipe,
            text,
        })
    }

    /// The points of a scalar; none where the run has no such.
    pub(super) fn points(&self, name: &str) -> &[(f64, f64)] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }
}

fn series(path: &Path) -> Result<BTreeMap<String, Vec<(f64, f64)>>> {
    let path = path.join("metrics.jsonl");
    let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    if !path.exists() {
        return Ok(series);
    }
    let file = File::open(&path).map_err(io(&path))?;
    for_each_line(&file, |line| {
        // What a cut has left of a line is no JSON.
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
        let step = line["step"].as_f64().unwrap_or_default();
        for (name, value) in scalars(&line) {
            series.entry(name).or_default().push((step, value));
        }
    })
    .map_err(io(&path))?;
    Ok(series)
}

fn evaluation(path: &Path) -> Result<Option<StoredEvaluation>> {
    let path = path.join("evaluation.json");
    path.exists().then(|| read_json(&path)).transpose()
}

fn compared(path: &Path, recipe: &Recipe) -> Result<Vec<(String, StoredEvaluation)>> {
    let mut found = Vec::new();
    for row in recipe.compare.iter().filter(|row| row.closing) {
        let folder = path.join("compare").join(row.folder());
        let whole = match row.separate {
            true => of_tasks(&folder, &recipe.task_names())?,
            false => evaluation(&folder)?,
        };
        found.extend(whole.map(|evaluation| (row.name.clone(), evaluation)));
    }
    Ok(found)
}

/// What runs of single tasks below `folder` measured; none until all are there.
fn of_tasks(folder: &Path, tasks: &[String]) -> Result<Option<StoredEvaluation>> {
    let each = tasks.iter().map(|task| evaluation(&folder.join(task)));
    let each: Option<Vec<StoredEvaluation>> =
        each.collect::<Result<Vec<_>>>()?.into_iter().collect();
    Ok(each.map(|each| StoredEvaluation {
        tasks: each.into_iter().flat_map(|evaluation| evaluation.tasks).collect(),
        delta_m: None,
    }))
}

/// Names that tell runs apart: those of their folders, else their paths.
pub(super) fn name_apart(runs: &mut [StoredRun]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in runs.iter_mut() {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = run.path.display().to_string();
        }
    }
}
