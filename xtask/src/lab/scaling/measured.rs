//! What the log of a run says of its steps.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps before those that count: memory is not there yet, nor are images.
pub(super) const WARM_UP: usize = 3;

/// Medians over the steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Of a step, in ms.
    pub(super) step_ms: f64,
    /// What a step spends in waiting for other processes and for sums, in ms.
    pub(super) communication_ms: f64,
    /// Bytes of the tensors that a process gives to the others in a step.
    pub(super) bytes: u64,
}

impl Measured {
    /// Of the run of ours in `folder`.
    ///
    /// # Errors
    /// A log that cannot be read, or one of too few steps.
    pub(super) fn of_run(folder: &Path) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::of_log(&text).with_context(|| path.display().to_string())
    }

    fn of_log(text: &str) -> Result<Self> {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let steps: Vec<Value> = lines.filter(|line| line.get("grad_norm").is_some()).collect();
        ensure!(steps.len() > WARM_UP, "expected more than {WARM_UP} steps, found {}", steps.len());
        let of = |value: fn(&Value) -> Option<f64>| {
            median(steps[WARM_UP..].iter().map(|step| value(step).unwrap_or(0.0)).collect())
        };
        Ok(Self {
            step_ms: of(|step| step["wall_ms"].as_f64()),
            communication_ms: of(|step| step["ranks"]["communication_ms"].as_f64()),
            bytes: of(|step| step["ranks"]["communication_bytes"].as_f64()) as u64,
        })
    }

    /// Of the peer, which tells each step's time and whether gradients were summed in it, and their
    /// bytes. Steps with and without sums take turns: the rest of a step is the same.
    ///
    /// # Errors
    /// Output that is not that of the peer.
    pub(super) fn of_peer(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text.trim()).context("expected the peer's JSON")?;
        let times = |name: &str| -> Vec<f64> {
            value[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
        };
        let (with, without) = (times("step_ms"), times("step_without_sums_ms"));
        ensure!(!with.is_empty(), "expected steps of the peer, found none");
        let step_ms = median(with);
        let communication_ms = match without.is_empty() {
            true => 0.0,
            false => (step_ms - median(without)).max(0.0),
        };
        let bytes = value["bytes"].as_u64().unwrap_or(0);
        Ok(Self { step_ms, communication_ms, bytes })
    }

    /// Of several runs at once: the mean of each number.
    ///
    /// # Errors
    /// No run at all.
    pub(super) fn mean(runs: Vec<Self>) -> Result<Self> {
        ensure!(!runs.is_empty(), "expected a run, found none");
        let mean =
            |value: fn(&Self) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        Ok(Self {
            step_ms: mean(|run| run.step_ms),
            communication_ms: mean(|run| run.communication_ms),
            bytes: mean(|run| run.bytes as f64) as u64,
        })
    }

    /// Share of a step that is communication.
    pub(super) fn share(&self) -> f64 {
        self.communication_ms / self.step_ms
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_behind_the_first_steps() {
        let line = |ms: f64| {
            let ranks = "{\"communication_ms\":1.5,\"communication_bytes\":8}";
            format!("{{\"grad_norm\":1.0,\"wall_ms\":{ms},\"ranks\":{ranks}}}\n")
        };
        let log: String = [90.0, 80.0, 70.0, 30.0, 10.0, 20.0].map(line).concat();
        let found = Measured::of_log(&(log + "{\"step\":6,\"evaluation\":{}}\n")).unwrap();
        assert_eq!(found, Measured { step_ms: 20.0, communication_ms: 1.5, bytes: 8 });
        assert!(Measured::of_log("").is_err());
    }

    #[test]
    fn runs_at_once_count_alike() {
        let of = |step_ms: f64| Measured { step_ms, communication_ms: 0.0, bytes: 0 };
        assert_eq!(Measured::mean(vec![of(2.0), of(4.0)]).unwrap(), of(3.0));
        assert!(Measured::mean(Vec::new()).is_err());
    }

    #[test]
    fn a_peer_tells_steps_with_and_without_sums() {
        let text = r#"{"step_ms": [5.0, 6.0, 7.0], "step_without_sums_ms": [4.0], "bytes": 12}"#;
        let found = Measured::of_peer(text).unwrap();
        assert_eq!(found, Measured { step_ms: 6.0, communication_ms: 2.0, bytes: 12 });
        let alone = r#"{"step_ms": [5.0], "step_without_sums_ms": [], "bytes": 0}"#;
        assert_eq!(Measured::of_peer(alone).unwrap().communication_ms, 0.0);
    }
}
