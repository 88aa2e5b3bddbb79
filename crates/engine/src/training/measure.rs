//! Evaluations within a run: the log's, the newest on disk, and which step is the best.

use ndarray::Array4;
use polyptych_data::Batch;
use polyptych_formats::file;
use polyptych_metrics::{Baseline, delta_m};
use polyptych_tensor::memory;
use serde_json::json;

use super::{Observer, Trainer};
use crate::report::samples::SamplePicker;
use crate::training::log::to_json;
use crate::{Evaluation, Peak, Result, evaluate_watched};

impl Trainer {
    /// The evaluation that a stop kept the run from.
    pub(super) fn catch_up(&mut self, observer: &mut dyn Observer) -> Result<Option<Evaluation>> {
        let step = self.state.step;
        if step == 0 || step == self.state.measured || !self.due(self.recipe.train.eval_every) {
            return Ok(None);
        }
        self.measure(observer).map(Some)
    }

    /// Measures the model as it is, keeps what was found, and saves.
    pub(super) fn measure(&mut self, observer: &mut dyn Observer) -> Result<Evaluation> {
        let baselines = self.baselines.as_deref();
        self.model.set_progress(self.state.step, self.recipe.train.steps);
        let (model, loader) = (&self.model, &self.data.eval);
        let (batches, step) = (loader.num_batches(), self.state.step);
        let mut picker = SamplePicker::new(loader.dataset().len(), self.log.wants_pictures());
        let watch = &mut |done: usize, batch: &Batch, outputs: &[Array4<f32>]| {
            observer.evaluating(done, batches);
            picker.look(model, batch, outputs);
            Ok(())
        };
        let mut evaluation = evaluate_watched(model, loader, baselines, watch)?;
        self.log.pictures(step, picker.pictures)?;
        self.note_peaks(&mut evaluation);
        self.log.write(&json!({
            "step": self.state.step,
            "evaluation": &evaluation,
            "resident_bytes": memory::resident_bytes(),
        }))?;
        let path = self.folder.path().join("evaluation.json");
        file::write_aside(&path, to_json(&evaluation.with_details()).as_bytes())?;
        self.note_best(&evaluation);
        self.state.measured = self.state.step;
        self.save()?;
        observer.evaluated(self.state.step, &evaluation);
        Ok(evaluation)
    }

    fn note_best(&mut self, evaluation: &Evaluation) {
        if self.state.reference.is_empty() {
            self.state.reference = evaluation.as_baselines();
        }
        let score = selection(evaluation, &self.state.reference);
        if self.state.best.is_none_or(|(best, _)| score > best) {
            self.state.best = Some((score, self.state.step));
        }
    }

    /// Tasks of one run are at their best at different times; the best of each is kept.
    fn note_peaks(&mut self, evaluation: &mut Evaluation) {
        let per_epoch = self.data.train.num_batches() as f64;
        let (step, epoch) = (self.state.step, self.state.step as f64 / per_epoch);
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
    use polyptych_metrics::DeltaM;

    use super::*;

    #[test]
    fn the_best_is_chosen_by_delta_m_where_it_is_known() {
        let mut evaluation = Evaluation { tasks: vec![], delta_m: None };
        assert_eq!(selection(&evaluation, &[]), 0.0);
        evaluation.delta_m = Some(DeltaM { percent: -3.5, terms: vec![] });
        assert_eq!(selection(&evaluation, &[]), -3.5);
    }
}
