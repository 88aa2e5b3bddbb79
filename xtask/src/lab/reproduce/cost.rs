//! What did training take? Read from the log of a run.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps at the start that do not count: they fill caches, and find out what tasks share.
const WARM_UP: usize = 5;

/// Time and memory of training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Median step, its data included, in milliseconds.
    pub(crate) step_ms: Option<f64>,
    /// The most memory that the process held, in bytes.
    pub(crate) peak_bytes: Option<u64>,
}

impl Cost {
    /// Of the run in `folder`; nothing of a run whose log does not tell.
    pub(crate) fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("metrics.jsonl"));
        text.map_or_else(|_| Self::default(), |text| Self::of_log(&text))
    }

    fn of_log(text: &str) -> Self {
        let lines = || text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut steps: Vec<f64> =
            lines().filter_map(|line| line.get("wall_ms")?.as_f64()).skip(WARM_UP).collect();
        steps.sort_by(f64::total_cmp);
        Self {
            step_ms: steps.get(steps.len() / 2).copied(),
            peak_bytes: lines()
                .filter_map(|line| line.get("peak_resident_bytes")?.as_u64())
                .next_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_median_step_and_the_peak() {
        let step = |ms: u32| format!("{{\"step\": 1, \"wall_ms\": {ms}.0}}\n");
        let steps: String = [900, 900, 900, 900, 900, 3, 1, 2].map(step).concat();
        let text = format!("{steps}{{\"step\": 8, \"peak_resident_bytes\": 64}}\nhalf a li");
        assert_eq!(Cost::of_log(&text), Cost { step_ms: Some(2.0), peak_bytes: Some(64) });
        assert_eq!(Cost::of_log(""), Cost::default());
    }
}
