//! Means of losses and the rate of steps.

use std::collections::BTreeMap;

use polyptych_engine::StepReport;

/// Sum and count of every task's losses since they were taken last.
#[derive(Default)]
pub(super) struct Means(BTreeMap<String, (f64, u32)>);

impl Means {
    /// Counts a step, unless it was skipped because a number was not finite.
    pub(super) fn add(&mut self, report: &StepReport) {
        for (task, loss) in &report.losses {
            let (sum, count) = self.0.entry(task.clone()).or_default();
            if let Some(loss) = loss.filter(|_| !report.skipped) {
                *sum += loss;
                *count += 1;
            }
        }
    }

    /// The means, none where no step counts; then counts anew.
    pub(super) fn take(&mut self) -> BTreeMap<String, Option<f64>> {
        let mean = |(task, (sum, count)): (String, (f64, u32))| {
            (task, (count > 0).then(|| sum / f64::from(count)))
        };
        std::mem::take(&mut self.0).into_iter().map(mean).collect()
    }

    /// [`Means::take`] as text, `-` where there is none.
    pub(super) fn take_line(&mut self) -> String {
        let word = |(task, mean): (String, Option<f64>)| match mean {
            None => format!("{task} -"),
            Some(mean) => format!("{task} {mean:.3}"),
        };
        self.take().into_iter().map(word).collect::<Vec<_>>().join("  ")
    }
}

/// Steps per second, smoothed over about twenty steps.
#[derive(Default)]
pub(super) struct Rate {
    step_ms: Option<f64>,
}

impl Rate {
    pub(super) fn add(&mut self, step_ms: f64) {
        self.step_ms = Some(self.step_ms.map_or(step_ms, |old| 0.95 * old + 0.05 * step_ms));
    }

    /// Steps per second, and the seconds of the `remaining` ones.
    pub(super) fn rate_and_eta(&self, remaining: u64) -> (f64, f64) {
        let step_s = self.step_ms.unwrap_or(0.0) / 1e3;
        (1.0 / step_s.max(1e-9), step_s * remaining as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::report;
    use super::*;

    #[test]
    fn means_count_the_steps_with_labels_alone() {
        let mut means = Means::default();
        means.add(&report(&[("depth", Some(1.0)), ("sal", None)], false));
        means.add(&report(&[("depth", None), ("sal", None)], false));
        means.add(&report(&[("depth", Some(2.0)), ("sal", None)], false));
        means.add(&report(&[("depth", Some(f64::NAN)), ("sal", Some(1.0))], true));
        assert_eq!(means.take_line(), "depth 1.500  sal -");
        assert_eq!(means.take_line(), "", "shown losses are not counted again");
    }
}
