//! What a run shows while it goes on: a bar on a terminal, lines elsewhere.
//!
//! Losses are means over the steps since they were shown last; of every task over those steps alone
//! whose batch had a label of it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use polyptych_engine::{Evaluation, Observer, StepReport};

use crate::output::note;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two changes of the losses beside a bar.
const BAR_EVERY: Duration = Duration::from_secs(1);

/// Shows steps and evaluations, and carries the wish to stop.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
    rate: Rate,
    losses: Means,
    stop: Arc<AtomicBool>,
}

/// Sum and count of every task's losses since they were shown last.
#[derive(Default)]
struct Means(BTreeMap<String, (f64, u32)>);

/// Steps per second, smoothed over about twenty steps.
#[derive(Default)]
struct Rate {
    step_ms: Option<f64>,
}

impl Progress {
    pub(crate) fn new(step: u64, steps: u64, stop: Arc<AtomicBool>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{bar:30} {pos}/{len} {per_sec} eta {eta} {msg}";
            let style = ProgressStyle::with_template(style).expect("the template is a constant");
            ProgressBar::new(steps).with_style(style).with_position(step)
        });
        Self { bar, shown: None, rate: Rate::default(), losses: Means::default(), stop }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, step: u64, steps: u64) {
        let losses = self.losses.take();
        match &self.bar {
            Some(bar) => bar.set_message(losses),
            None => {
                let (rate, eta) = self.rate.rate_and_eta(steps.saturating_sub(step));
                self.say(&format!("step {step}/{steps}  {rate:.1}/s  eta {eta:.0} s  {losses}"));
            }
        }
        self.shown = Some(Instant::now());
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &StepReport, steps: u64) {
        self.rate.add(report.wall_ms);
        self.losses.add(report);
        if report.skipped {
            let scale = report.loss_scale.map(|scale| format!(" at loss scale {scale}"));
            let scale = scale.unwrap_or_default();
            self.say(&format!("step {}: skipped, a number was not finite{scale}", report.step));
        }
        for error in &report.bad_sample_errors {
            self.say(&format!("step {}: went without a sample: {error}", report.step));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(report.step);
        }
        let every = if self.bar.is_some() { BAR_EVERY } else { LINE_EVERY };
        if self.shown.is_none_or(|at| at.elapsed() >= every) {
            self.show(report.step, steps);
        }
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation) {
        let scores = evaluation.headlines().into_iter();
        let scores = scores.map(|(task, score)| format!("{task} {:.2}{}", score.value, score.unit));
        let delta = evaluation.delta_m.as_ref().map(|d| format!("  delta-m {:+.2}%", d.percent));
        let scores = scores.collect::<Vec<_>>().join("  ");
        self.say(&format!("step {step}: {scores}{}", delta.unwrap_or_default()));
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Means {
    /// Counts a step, unless it was skipped because a number was not finite.
    fn add(&mut self, report: &StepReport) {
        for (task, loss) in &report.losses {
            let (sum, count) = self.0.entry(task.clone()).or_default();
            if let Some(loss) = loss.filter(|_| !report.skipped) {
                *sum += loss;
                *count += 1;
            }
        }
    }

    /// The means, `-` where no step counts; then counts anew.
    fn take(&mut self) -> String {
        let mean = |(task, (sum, count)): (String, (f64, u32))| match count {
            0 => format!("{task} -"),
            _ => format!("{task} {:.3}", sum / f64::from(count)),
        };
        std::mem::take(&mut self.0).into_iter().map(mean).collect::<Vec<_>>().join("  ")
    }
}

impl Rate {
    fn add(&mut self, step_ms: f64) {
        self.step_ms = Some(self.step_ms.map_or(step_ms, |old| 0.95 * old + 0.05 * step_ms));
    }

    fn rate_and_eta(&self, remaining: u64) -> (f64, f64) {
        let step_s = self.step_ms.unwrap_or(0.0) / 1e3;
        (1.0 / step_s.max(1e-9), step_s * remaining as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(losses: &[(&str, Option<f64>)], skipped: bool) -> StepReport {
        StepReport {
            step: 1,
            lr: 0.1,
            loss: None,
            losses: losses.iter().map(|(task, loss)| ((*task).to_owned(), *loss)).collect(),
            grad_norm: 1.0,
            wall_ms: 1.0,
            skipped,
            loss_scale: None,
            bad_samples: 0,
            bad_sample_errors: Vec::new(),
        }
    }

    #[test]
    fn means_count_the_steps_with_labels_alone() {
        let mut means = Means::default();
        means.add(&report(&[("depth", Some(1.0)), ("sal", None)], false));
        means.add(&report(&[("depth", None), ("sal", None)], false));
        means.add(&report(&[("depth", Some(2.0)), ("sal", None)], false));
        means.add(&report(&[("depth", Some(f64::NAN)), ("sal", Some(1.0))], true));
        assert_eq!(means.take(), "depth 1.500  sal -");
        assert_eq!(means.take(), "", "shown losses are not counted again");
    }
}
