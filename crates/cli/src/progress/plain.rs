//! Lines, one now and then.

use std::time::{Duration, Instant};

use polyptych_engine::StepReport;

use super::means::{Means, Rate};
use super::words::{clock, remarks};
use crate::output::note;

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Writes lines to standard error.
pub(super) struct Plain {
    begun: Instant,
    shown: Option<Instant>,
    rate: Rate,
    means: Means,
}

impl Plain {
    pub(super) fn new() -> Self {
        let (rate, means) = (Rate::default(), Means::default());
        Self { begun: Instant::now(), shown: None, rate, means }
    }

    pub(super) fn step(&mut self, report: &StepReport, steps: u64) {
        self.rate.add(report.wall_ms);
        self.means.add(report);
        remarks(report).iter().for_each(|line| note!("{line}"));
        if self.shown.is_none_or(|at| at.elapsed() >= EVERY) {
            note!("{}", self.line(report, steps));
            self.shown = Some(Instant::now());
        }
    }

    fn line(&mut self, report: &StepReport, steps: u64) -> String {
        let step = report.step;
        let (rate, eta) = self.rate.rate_and_eta(steps.saturating_sub(step));
        let (elapsed, eta) = (clock(self.begun.elapsed().as_secs_f64()), clock(eta));
        let (lr, losses) = (report.lr, self.means.take_line());
        // Those of all processes.
        let images = report.ranks.as_ref().map(|ranks| rate * ranks.images as f64);
        let images = images.map(|all| format!("  {all:.0} images/s")).unwrap_or_default();
        format!(
            "step {step}/{steps}  lr {lr:.2e}  {rate:.1}/s{images}  elapsed {elapsed}  eta {eta}  {losses}"
        )
    }
}

#[cfg(test)]
mod tests {
    use polyptych_engine::RankReport;

    use super::super::testing::report;
    use super::*;

    #[test]
    fn several_processes_have_images_of_all() {
        let mut plain = Plain::new();
        let ranks = RankReport {
            world_size: 2,
            images: 24,
            bad_samples: 0,
            communication_ms: 1.0,
            communication_bytes: 8,
        };
        let step = StepReport { ranks: Some(ranks), ..report(&[("sal", None)], false) };
        plain.rate.add(500.0);
        plain.means.add(&step);
        let line = plain.line(&step, 1);
        assert_eq!(line, "step 1/1  lr 1.00e-1  2.0/s  48 images/s  elapsed 0:00  eta 0:00  sal -");
    }

    #[test]
    fn a_line_has_rate_times_and_losses() {
        let mut plain = Plain::new();
        let step = report(&[("depth", Some(1.5)), ("sal", None)], false);
        plain.rate.add(500.0);
        plain.means.add(&step);
        let line = plain.line(&step, 241);
        assert_eq!(
            line,
            "step 1/241  lr 1.00e-1  2.0/s  elapsed 0:00  eta 2:00  depth 1.500  sal -"
        );
    }
}
