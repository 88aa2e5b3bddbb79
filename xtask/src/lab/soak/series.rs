//! Memory over the steps of one run, as its log tells it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Its method.
    pub(crate) name: String,
    /// Step, and bytes that the process held then without pages of files.
    pub(crate) points: Vec<(u64, u64)>,
}

impl Series {
    /// Of the run in `folder`.
    ///
    /// # Errors
    /// A log that cannot be read, or one of fewer than three evaluations.
    pub(crate) fn read(name: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::of_log(name, &text).with_context(|| path.display().to_string())
    }

    fn of_log(name: &str, text: &str) -> Result<Self> {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let point = |line: Value| {
            Some((line.get("step")?.as_u64()?, line.get("resident_bytes")?.as_u64()?))
        };
        let points: Vec<(u64, u64)> = lines.filter_map(point).collect();
        if points.len() < 3 {
            bail!("expected at least 3 evaluations with resident_bytes, found {}", points.len());
        }
        Ok(Self { name: name.into(), points })
    }

    /// The first evaluation, the one in the middle, and the last.
    pub(crate) fn corners(&self) -> [(u64, u64); 3] {
        [0, self.points.len().div_ceil(2) - 1, self.points.len() - 1].map(|at| self.points[at])
    }

    /// Bytes a step that the second half of the run added.
    pub(crate) fn growth(&self) -> f64 {
        let [_, middle, last] = self.corners();
        (last.1 as f64 - middle.1 as f64) / (last.0 - middle.0).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_memory_and_its_growth() {
        let line = |step: u64, bytes: u64| {
            format!("{{\"step\":{step},\"evaluation\":{{}},\"resident_bytes\":{bytes}}}\n")
        };
        let text = format!("{{\"step\":1}}\n{}{}", line(10, 500), line(20, 900));
        let message = Series::of_log("a", &text).unwrap_err().to_string();
        assert!(message.ends_with("found 2"), "{message}");
        let series = Series::of_log("a", &format!("{text}{}{}", line(30, 910), line(40, 920)));
        let series = series.unwrap();
        assert_eq!(series.corners(), [(10, 500), (20, 900), (40, 920)]);
        assert_eq!(series.growth(), 1.0);
    }
}
