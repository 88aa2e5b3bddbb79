//! Where a run stands, and the checkpoints that it goes on from.

use std::collections::BTreeMap;

use polyptych_kernels::torch_version;
use polyptych_metrics::{Baseline, delta_m};

use super::learner::Learner;
use crate::run::checkpoint::State;
use crate::run::data_record::DataRecord;
use crate::{Checkpoint, DataSets, Evaluation, Peak, Recipe, Result, RunFolder, TrainRecipe};

/// Steps done, the best so far, and the folder that keeps them.
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) folder: RunFolder,
    train: TrainRecipe,
    record: DataRecord,
    batches_per_epoch: u64,
}

impl Standing {
    /// A run of `recipe` in `folder` that stands at `state`.
    pub(super) fn new(folder: RunFolder, recipe: &Recipe, data: &DataSets, state: State) -> Self {
        let (train, record) = (recipe.train.clone(), data.record().clone());
        let batches_per_epoch = data.train.num_batches() as u64;
        Self { state, folder, train, record, batches_per_epoch }
    }

    /// Epoch, and batch within it, of the next step.
    pub(super) fn position(&self) -> (u64, usize) {
        let (step, per_epoch) = (self.state.step, self.batches_per_epoch);
        (step / per_epoch, (step % per_epoch) as usize)
    }

    /// Whether all steps are done.
    pub(super) fn is_at_end(&self) -> bool {
        self.state.step >= self.train.steps
    }

    /// Whether the model is to be measured after the last step.
    pub(super) fn evaluation_is_due(&self) -> bool {
        self.is_due(self.train.eval_every)
    }

    /// Whether a stop kept the run from measuring.
    pub(super) fn evaluation_is_missing(&self) -> bool {
        let step = self.state.step;
        step != 0 && step != self.state.measured && self.evaluation_is_due()
    }

    /// Counts a step.
    pub(super) fn advance(&mut self) {
        self.state.step += 1;
    }

    /// Saves where that is due behind the step and no evaluation saves anyway; to be called once
    /// the step is logged, so that a run that is killed between the two lacks no line.
    ///
    /// # Errors
    /// As [`Standing::save`].
    pub(super) fn save_if_due(&self, learner: &Learner) -> Result<()> {
        match self.is_due(self.train.save_every) && !self.evaluation_is_due() {
            true => self.save(learner),
            false => Ok(()),
        }
    }

    /// Writes a checkpoint, as the first of the run's processes.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(super) fn save(&self, learner: &Learner) -> Result<()> {
        if !learner.model.ranks.is_first() {
            return Ok(());
        }
        self.checkpoint(learner).save(&self.folder.checkpoints(), self.train.save_total_limit)
    }

    /// What a run needs to go on from here.
    pub(super) fn checkpoint(&self, learner: &Learner) -> Checkpoint {
        let model = learner.model.store.tensors().into_iter().collect();
        let state = State {
            files: BTreeMap::new(),
            data: self.record.clone(),
            versions: versions(),
            ..self.state.clone()
        };
        let (optimiser, memory) = (learner.optimiser_state(), learner.objective.state());
        Checkpoint { model, optimiser, memory, state, rounded_up: true }
    }

    /// Whether `evaluation` is the best so far is noted, and the first one is what later ones are
    /// compared with.
    pub(super) fn note_best(&mut self, evaluation: &Evaluation) {
        if self.state.reference.is_empty() {
            self.state.reference = evaluation.as_baselines();
        }
        let score = selection(evaluation, &self.state.reference);
        if self.state.best.is_none_or(|(best, _)| score > best) {
            self.state.best = Some((score, self.state.step));
        }
        self.state.measured = self.state.step;
    }

    /// Tasks of one run are at their best at different times; the best of each is kept.
    pub(super) fn note_peaks(&mut self, evaluation: &mut Evaluation) {
        let step = self.state.step;
        let epoch = step as f64 / self.batches_per_epoch as f64;
        for task in &mut evaluation.tasks {
            let Some(score) = task.scores.first() else { continue };
            let now = Peak { value: score.value, step, epoch };
            let peak = self.state.peaks.entry(task.task.clone()).or_insert(now);
            let sign = if score.higher_is_better { 1.0 } else { -1.0 };
            if sign * score.value > sign * peak.value {
                *peak = now;
            }
            task.peak = Some(*peak);
        }
    }

    fn is_due(&self, every: u64) -> bool {
        let step = self.state.step;
        step == self.train.steps || step.is_multiple_of(every)
    }
}

/// What wrote a checkpoint.
pub(super) fn versions() -> String {
    format!("polyptych {}, LibTorch {}", env!("CARGO_PKG_VERSION"), torch_version())
}

/// What "best" compares: delta-m against the baselines, or against the first evaluation.
fn selection(evaluation: &Evaluation, reference: &[Baseline]) -> f64 {
    if let Some(delta) = &evaluation.delta_m {
        return delta.percent;
    }
    let usable: Vec<Baseline> = reference.iter().filter(|b| b.value != 0.0).cloned().collect();
    let known = |task: &str| usable.iter().any(|b| b.task == task);
    let results: Vec<_> =
        evaluation.headlines().into_iter().filter(|(task, _)| known(task)).collect();
    delta_m(&results, &usable).map_or(0.0, |delta| delta.percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_metrics::DeltaM;

    #[test]
    fn the_best_is_chosen_by_delta_m_where_it_is_known() {
        let mut evaluation = Evaluation { tasks: vec![], delta_m: None };
        assert_eq!(selection(&evaluation, &[]), 0.0);
        evaluation.delta_m = Some(DeltaM { percent: -3.5, terms: vec![] });
        assert_eq!(selection(&evaluation, &[]), -3.5);
    }
}
