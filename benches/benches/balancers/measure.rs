//! Two runs that take turns.

use std::path::Path;

use polyptych_engine::{Evaluation, Observer, StepReport, Trainer};
use serde::Serialize;

use crate::recipe::{recipe, setting};

/// How long is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Plan {
    /// Turns of each run.
    pub(crate) rounds: usize,
    /// Steps of a turn that count; one before them does not.
    pub(crate) steps: u64,
}

/// Step times of equal weights and of the method, in ms.
pub(crate) fn compare(name: &str, tasks: usize, plan: Plan) -> [Vec<f64>; 2] {
    let folder = tempfile::tempdir().expect("there is a folder for runs");
    let plain = start(&folder.path().join("plain"), tasks, &[]);
    let mut runs = [plain, start(&folder.path().join(name), tasks, &[setting(name)])];
    let mut times = [Vec::new(), Vec::new()];
    // The first turn finds out what is shared, and fills caches.
    for round in 0..=plan.rounds {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            let mut turn = Turn { steps: plan.steps, times: Vec::new() };
            run.run(&mut turn).expect("the run goes on");
            if round > 0 {
                times.extend(&turn.times[1..]);
            }
        }
    }
    times
}

fn start(path: &Path, tasks: usize, overrides: &[String]) -> Trainer {
    Trainer::start(recipe(tasks, overrides), None, path).expect("the recipe starts").0
}

struct Turn {
    steps: u64,
    times: Vec<f64>,
}

impl Observer for Turn {
    fn step(&mut self, report: &StepReport, _steps: u64) {
        assert!(!report.skipped, "a step that is skipped takes less time");
        self.times.push(report.wall_ms);
    }

    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation) {}

    fn stop(&self) -> bool {
        self.times.len() as u64 > self.steps
    }
}
