//! What did one row with one seed score? Read from the files of its runs alone.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::job::{INSPECT, REFUSED, TIME};
use super::plan::{Plan, Run};
use super::pruned::Pruned;
use super::record::{Record, State};
use super::singles::Headline;

/// A score as the evaluation gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: f64,
    /// Its unit, maybe empty.
    pub(crate) unit: String,
    /// Whether more is better.
    pub(crate) higher_is_better: bool,
}

/// Scores of one task, the headline first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskScores {
    /// Name of the task.
    pub(crate) task: String,
    /// Its scores.
    pub(crate) scores: Vec<Score>,
}

/// A median of times with its range, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// The median.
    pub(crate) median: f64,
    /// The shortest that counts.
    pub(crate) low: f64,
    /// The longest that counts.
    pub(crate) high: f64,
}

/// What `polyptych time` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// Images in one measurement.
    pub(crate) images: u64,
    /// Before merging.
    pub(crate) adapted_ms: Times,
    /// After merging, where the model is merged.
    #[serde(rename = "folded_ms", alias = "merged_ms")]
    pub(crate) merged_ms: Option<Times>,
}

/// One run that is done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Done {
    /// Its seed.
    pub(crate) seed: u64,
    /// Its task, where every task has a model of its own.
    pub(crate) task: Option<String>,
    /// What it was made with.
    #[serde(flatten)]
    pub(crate) record: Record,
    /// Parameters that train.
    pub(crate) trainable: u64,
    /// All parameters.
    pub(crate) total: u64,
    /// Scores of its tasks.
    pub(crate) tasks: Vec<TaskScores>,
    /// Against recorded baselines, in percent.
    pub(crate) delta_m: Option<f64>,
    /// Its times.
    pub(crate) time: Timing,
    /// Why it does not merge, where it does not.
    #[serde(rename = "fold_refused")]
    pub(crate) merge_refused: Option<String>,
    /// What pruning left, where the run ends as the pruned model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pruned: Option<Pruned>,
    /// What training took.
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

/// A row with one seed: one run, or one for each task.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The seed.
    pub(crate) seed: u64,
    /// Its runs.
    pub(crate) runs: Vec<Done>,
    /// What every stage measured, where it is one run in stages.
    pub(crate) stages: Vec<Measured>,
}

/// What one stage of a run measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// The stage.
    pub(crate) stage: String,
    /// Scores of its tasks.
    pub(crate) tasks: Vec<TaskScores>,
}

#[derive(Deserialize)]
struct Evaluation {
    tasks: Vec<TaskScores>,
    delta_m: Option<DeltaM>,
}

#[derive(Deserialize)]
struct Staged {
    stage: Vec<StageName>,
}

#[derive(Deserialize)]
struct StageName {
    name: String,
}

#[derive(Deserialize)]
struct DeltaM {
    percent: f64,
}

#[derive(Deserialize)]
struct Inspected {
    parameters: ParameterSummary,
}

#[derive(Deserialize)]
struct ParameterSummary {
    rows: Vec<CountRow>,
}

#[derive(Deserialize)]
struct CountRow {
    total: u64,
    trainable: u64,
}

/// Scores of a run that is done.
pub(crate) fn scores(run: &Run) -> Result<Vec<TaskScores>> {
    scores_in(&run.folder)
}

fn scores_in(folder: &Path) -> Result<Vec<TaskScores>> {
    let evaluation: Evaluation = json(&folder.join("evaluation.json"))?;
    Ok(evaluation.tasks)
}

/// What the stages of the run in `folder` measured, in their order; nothing of a run without.
fn stages(folder: &Path) -> Result<Vec<Measured>> {
    let path = folder.join("stages/stages.toml");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let Staged { stage: all } =
        toml::from_str(&text).with_context(|| path.display().to_string())?;
    let last = all.len().saturating_sub(1);
    let measured = all.into_iter().enumerate().map(|(index, StageName { name: stage })| {
        // The last stage is the run itself.
        let own = folder.join("stages").join(&stage);
        let tasks = scores_in(if index == last { folder } else { &own })?;
        Ok(Measured { stage, tasks })
    });
    measured.collect()
}

impl Outcome {
    /// Row `index` with `seed`; none until all of its runs are done.
    pub(crate) fn read(plan: &Plan, index: usize, seed: u64) -> Result<Option<Self>> {
        let runs = plan.runs(index, seed);
        // A run of another recipe has been refused, or belongs to a row that is not asked for.
        let whole = |run: &Run| matches!(State::of(plan, run), Ok(State::Done));
        let measured = |run: &Run| [TIME, INSPECT].iter().all(|f| run.folder.join(f).exists());
        if !runs.iter().all(|run| whole(run) && measured(run)) {
            return Ok(None);
        }
        let stages = match &runs[..] {
            [run] => stages(&run.folder)?,
            _ => Vec::new(),
        };
        let runs = runs.iter().map(Done::read).collect::<Result<Vec<_>>>()?;
        Ok(Some(Self { seed, runs, stages }))
    }

    /// Median training step and peak memory, where it is one run and they are known.
    pub(crate) fn cost(&self) -> Cost {
        match &self.runs[..] {
            [run] => run.cost,
            _ => Cost::default(),
        }
    }

    /// What pruning left, where it is one run that ends as the pruned model.
    pub(crate) fn pruned(&self) -> Option<&Pruned> {
        match &self.runs[..] {
            [run] => run.pruned.as_ref(),
            _ => None,
        }
    }

    /// Scores of all tasks.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &TaskScores> {
        self.runs.iter().flat_map(|run| &run.tasks)
    }

    /// The headline of each task.
    pub(crate) fn headlines(&self) -> impl Iterator<Item = Headline<'_>> {
        self.tasks().filter_map(|task| {
            let score = task.scores.first()?;
            Some((task.task.as_str(), score.value, score.higher_is_better))
        })
    }

    /// Against recorded baselines, in percent; a row of separate models has no such number.
    pub(crate) fn recorded_delta_m(&self) -> Option<f64> {
        match &self.runs[..] {
            [run] => run.delta_m,
            _ => None,
        }
    }

    /// Parameters that train, over all models.
    pub(crate) fn trainable(&self) -> u64 {
        self.runs.iter().map(|run| run.trainable).sum()
    }

    /// All parameters, over all models.
    pub(crate) fn total(&self) -> u64 {
        self.runs.iter().map(|run| run.total).sum()
    }

    /// Median time before merging, through all models.
    pub(crate) fn adapted_ms(&self) -> f64 {
        self.runs.iter().map(|run| run.time.adapted_ms.median).sum()
    }

    /// Median time after merging, through all models; none unless all merge.
    pub(crate) fn merged_ms(&self) -> Option<f64> {
        self.runs.iter().map(|run| Some(run.time.merged_ms.as_ref()?.median)).sum()
    }
}

impl Done {
    fn read(run: &Run) -> Result<Self> {
        let evaluation: Evaluation = json(&run.folder.join("evaluation.json"))?;
        let Inspected { parameters } = json(&run.folder.join(INSPECT))?;
        let record = Record::read(run)?.context("the record of a run that is done")?;
        Ok(Self {
            seed: run.seed,
            task: run.task.clone(),
            record,
            trainable: parameters.rows.iter().map(|row| row.trainable).sum(),
            total: parameters.rows.iter().map(|row| row.total).sum(),
            tasks: evaluation.tasks,
            delta_m: evaluation.delta_m.map(|delta| delta.percent),
            time: json(&run.folder.join(TIME))?,
            merge_refused: std::fs::read_to_string(run.folder.join(REFUSED)).ok(),
            pruned: Pruned::read(&run.folder)?,
            cost: Cost::read(&run.folder),
        })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}
