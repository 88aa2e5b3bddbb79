//! What a run shows while it goes on: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use polyptych_engine::{Evaluation, Observer, StepReport};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows steps and evaluations, and carries the wish to stop.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    rate: Rate,
    stop: Arc<AtomicBool>,
}

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
        Self { bar, last_line: None, rate: Rate::default(), stop }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &StepReport, steps: u64) {
        self.rate.add(report.wall_ms);
        let losses = report.losses.iter().map(|(task, loss)| format!("{task} {loss:.3}"));
        let losses = losses.collect::<Vec<_>>().join("  ");
        if report.skipped {
            let scale = report.loss_scale.map(|scale| format!(" at loss scale {scale}"));
            let scale = scale.unwrap_or_default();
            self.say(&format!("step {}: skipped, a number was not finite{scale}", report.step));
        }
        for error in &report.bad_sample_errors {
            self.say(&format!("step {}: went without a sample: {error}", report.step));
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(report.step);
                bar.set_message(losses);
            }
            None if self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) => {
                let (rate, eta) = self.rate.rate_and_eta(steps - report.step);
                let step = report.step;
                self.say(&format!("step {step}/{steps}  {rate:.1}/s  eta {eta:.0} s  {losses}"));
                self.last_line = Some(Instant::now());
            }
            None => {}
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

impl Rate {
    fn add(&mut self, step_ms: f64) {
        self.step_ms = Some(self.step_ms.map_or(step_ms, |old| 0.95 * old + 0.05 * step_ms));
    }

    fn rate_and_eta(&self, remaining: u64) -> (f64, f64) {
        let step_s = self.step_ms.unwrap_or(0.0) / 1e3;
        (1.0 / step_s.max(1e-9), step_s * remaining as f64)
    }
}
