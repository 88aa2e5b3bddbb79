//! What a run shows while it goes on: a live view on a terminal, lines elsewhere or where asked for.
//!
//! Losses are means over the steps since they were shown last; of every task over those steps alone
//! whose batch had a label of it.

mod counter;
mod history;
mod live;
mod means;
mod plain;
mod samples;
mod view;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polyptych_engine::{Evaluation, Observer, SamplePicture, StepReport, Trainer};

pub(crate) use counter::Counter;
use live::Live;
use plain::Plain;

/// Shows steps and evaluations, and carries the wish to stop.
pub(crate) struct Progress {
    shown: Shown,
    stop: Arc<AtomicBool>,
}

enum Shown {
    Live(Box<Live>),
    Plain(Plain),
}

impl Progress {
    /// Of a run that goes on where `trainer` stands.
    pub(crate) fn new(trainer: &Trainer, stop: Arc<AtomicBool>) -> Self {
        let shown = match Live::open(trainer) {
            Some(live) => Shown::Live(Box::new(live)),
            None => Shown::Plain(Plain::new()),
        };
        Self { shown, stop }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn finish(&mut self) {
        if let Shown::Live(live) = &mut self.shown {
            live.close();
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &StepReport, steps: u64) {
        match &mut self.shown {
            Shown::Live(live) => live.step(report, steps),
            Shown::Plain(plain) => plain.step(report, steps),
        }
    }

    fn evaluating(&mut self, done: usize, batches: usize) {
        if let Shown::Live(live) = &mut self.shown {
            live.evaluating(done, batches);
        }
    }

    fn wants_samples(&self) -> bool {
        matches!(&self.shown, Shown::Live(live) if live.wants_samples())
    }

    fn samples(&mut self, _step: u64, samples: &[SamplePicture]) {
        if let Shown::Live(live) = &mut self.shown {
            live.samples(samples);
        }
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation) {
        if let Shown::Live(live) = &mut self.shown {
            live.evaluated(evaluation);
        }
        crate::output::note!("{}", scores_line(step, evaluation));
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// `step 700: depth 5.03m  semseg 25.47%  delta-m -0.13%`.
fn scores_line(step: u64, evaluation: &Evaluation) -> String {
    let scores = evaluation.headlines().into_iter();
    let scores = scores.map(|(task, score)| format!("{task} {:.2}{}", score.value, score.unit));
    let delta = evaluation.delta_m.as_ref().map(|d| format!("  delta-m {:+.2}%", d.percent));
    let scores = scores.collect::<Vec<_>>().join("  ");
    format!("step {step}: {scores}{}", delta.unwrap_or_default())
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

    use polyptych_engine::StepReport;

    /// A step with these losses.
    pub(super) fn report(losses: &[(&str, Option<f64>)], skipped: bool) -> StepReport {
        StepReport {
            ranks: None,
            step: 1,
            lr: 0.1,
            loss: None,
            losses: losses.iter().map(|(task, loss)| ((*task).to_owned(), *loss)).collect(),
            penalty: None,
            distillation: None,
            grad_norm: 1.0,
            wall_ms: 1.0,
            skipped,
            loss_scale: None,
            weights: BTreeMap::new(),
            bad_samples: 0,
            bad_sample_errors: Vec::new(),
        }
    }
}
