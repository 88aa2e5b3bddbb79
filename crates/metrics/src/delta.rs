//! How much better is one multi-task model than one single-task model per task?
//!
//! `delta_m = (100 / T) sum_t (-1)^{l_t} (M_t - S_t) / S_t` with the multi-task result `M_t`, the
//! single-task baseline `S_t`, and `l_t = 1` where lower is better (Maninis et al. 2019,
//! equation 3). Numbers of different measures never meet in one delta.

use serde::{Deserialize, Serialize};

use crate::error::{MetricError, Result};
use crate::metric::Score;

/// The score of a single-task model on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Name of the task.
    pub task: String,
    /// Name of the score, as [`Score::name`].
    pub metric: String,
    /// The score, in the unit that the metric has; finite and not zero.
    pub value: f64,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Baseline {
    /// The baseline that `score`, measured on `task`, sets.
    pub fn new(task: impl Into<String>, score: &Score) -> Self {
        Self {
            task: task.into(),
            metric: score.name.into(),
            value: score.value,
            higher_is_better: score.higher_is_better,
        }
    }
}

/// Relative change against the baselines, in percent, positive where the result is better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeltaM {
    /// Mean over tasks.
    pub percent: f64,
    /// One term for each task, in the order of the results.
    pub terms: Vec<DeltaTerm>,
}

/// One task's part of a [`DeltaM`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeltaTerm {
    /// Name of the task.
    pub task: String,
    /// Name of the score that was compared.
    pub metric: String,
    /// Whether more is better; where not, the sign of the change was turned.
    pub higher_is_better: bool,
    /// Single-task score.
    pub baseline: f64,
    /// Multi-task score.
    pub value: f64,
    /// Signed relative change in percent.
    pub percent: f64,
}

/// Compares one headline score per task with the baselines of the same tasks.
///
/// # Errors
/// If there is no task, a task is listed twice or misses its result or baseline, the two sides
/// were measured by different metrics or directions, a number is not finite, or a baseline is 0.
///
/// ```
/// use polyptych_metrics::{Baseline, Score, delta_m};
///
/// let score = |value| Score { name: "rmse_m", value, higher_is_better: false, unit: "m" };
/// let baseline = Baseline::new("depth", &score(0.8));
/// let delta = delta_m(&[("depth", score(0.6))], &[baseline])?;
/// assert!((delta.percent - 25.0).abs() < 1e-9);
/// # Ok::<(), polyptych_metrics::MetricError>(())
/// ```
pub fn delta_m(results: &[(&str, Score)], baselines: &[Baseline]) -> Result<DeltaM> {
    if results.is_empty() && baselines.is_empty() {
        return Err(MetricError::NoTask);
    }
    for baseline in baselines {
        let found = results.iter().filter(|(task, _)| *task == baseline.task).count();
        refuse_unless_one(&baseline.task, "result", found)?;
    }
    let terms = results
        .iter()
        .map(|(task, score)| {
            let own: Vec<_> = baselines.iter().filter(|baseline| baseline.task == *task).collect();
            refuse_unless_one(task, "baseline", own.len())?;
            term(score, own[0])
        })
        .collect::<Result<Vec<_>>>()?;
    let percent = terms.iter().map(|term| term.percent).sum::<f64>() / terms.len() as f64;
    Ok(DeltaM { percent, terms })
}

fn refuse_unless_one(task: &str, key: &'static str, found: usize) -> Result<()> {
    match found {
        1 => Ok(()),
        0 => Err(MetricError::MissingTask { task: task.into(), missing: key }),
        _ => Err(MetricError::RepeatedTask { task: task.into(), key, found }),
    }
}

fn term(score: &Score, baseline: &Baseline) -> Result<DeltaTerm> {
    let task = &baseline.task;
    let mixed = |key, expected: String, found: String| {
        Err(MetricError::MixedDefinition { task: task.clone(), key, expected, found })
    };
    let (expected, found) = (baseline.higher_is_better, score.higher_is_better);
    if baseline.metric != score.name {
        return mixed("metric", baseline.metric.clone(), score.name.into());
    }
    if expected != found {
        return mixed("higher_is_better", expected.to_string(), found.to_string());
    }
    refuse_unless(task, "baseline", "a finite number other than 0", baseline.value, |v| v != 0.0)?;
    refuse_unless(task, "result", "a finite number", score.value, |_| true)?;
    let sign = if score.higher_is_better { 100.0 } else { -100.0 };
    Ok(DeltaTerm {
        task: task.clone(),
        metric: baseline.metric.clone(),
        higher_is_better: score.higher_is_better,
        baseline: baseline.value,
        value: score.value,
        percent: sign * (score.value - baseline.value) / baseline.value,
    })
}

fn refuse_unless(
    task: &str,
    key: &'static str,
    expected: &'static str,
    found: f64,
    comparable: impl Fn(f64) -> bool,
) -> Result<()> {
    if found.is_finite() && comparable(found) {
        return Ok(());
    }
    Err(MetricError::NotComparable { task: task.into(), key, expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miou(value: f64) -> Score {
        Score::percent("miou", value / 100.0)
    }

    fn angle(value: f64) -> Score {
        Score::error("mean_angle_deg", value, "deg")
    }

    fn message(results: &[(&str, Score)], baselines: &[Baseline]) -> String {
        delta_m(results, baselines).unwrap_err().to_string()
    }

    #[test]
    fn reproduces_the_published_example() {
        let results = [
            ("semseg", miou(68.38)),
            ("human_parts", miou(59.58)),
            ("sal", miou(63.85)),
            ("normals", angle(16.76)),
        ];
        // The order of baselines is free.
        let baselines = [
            Baseline::new("normals", &angle(17.97)),
            Baseline::new("semseg", &miou(67.21)),
            Baseline::new("human_parts", &miou(61.93)),
            Baseline::new("sal", &miou(62.35)),
        ];
        let delta = delta_m(&results, &baselines).unwrap();
        assert!((delta.percent - 1.771).abs() < 5e-4, "{}", delta.percent);
        let last = &delta.terms[3];
        assert_eq!((last.task.as_str(), last.metric.as_str()), ("normals", "mean_angle_deg"));
        assert!(!last.higher_is_better && last.percent > 0.0);
    }

    #[test]
    fn refuses_mixed_definitions() {
        let baseline = Baseline::new("sal", &miou(62.0));
        let other = Score { name: "max_f", ..miou(62.0) };
        assert_eq!(
            message(&[("sal", other)], std::slice::from_ref(&baseline)),
            "delta-m: task sal: metric: expected miou as in the baseline, found max_f"
        );
        let turned = Score { higher_is_better: false, ..miou(62.0) };
        assert_eq!(
            message(&[("sal", turned)], &[baseline]),
            "delta-m: task sal: higher_is_better: expected true as in the baseline, found false"
        );
    }

    #[test]
    fn refuses_missing_and_repeated_tasks() {
        let baseline = Baseline::new("sal", &miou(62.0));
        let one = [("sal", miou(1.0))];
        assert_eq!(message(&[], &[]), "delta-m: expected at least one task, found none");
        assert_eq!(
            message(&one, &[]),
            "delta-m: task sal: expected one result and one baseline, found no baseline"
        );
        assert_eq!(
            message(&[], std::slice::from_ref(&baseline)),
            "delta-m: task sal: expected one result and one baseline, found no result"
        );
        assert_eq!(
            message(&one, &[baseline.clone(), baseline.clone()]),
            "delta-m: task sal: expected one baseline, found 2"
        );
        assert_eq!(
            message(&[one[0], one[0]], &[baseline]),
            "delta-m: task sal: expected one result, found 2"
        );
    }

    #[test]
    fn refuses_what_cannot_be_compared() {
        for value in [0.0, f64::NAN, f64::INFINITY] {
            let found = message(&[("sal", miou(1.0))], &[Baseline::new("sal", &miou(value))]);
            let start =
                "delta-m: task sal: baseline: expected a finite number other than 0, found ";
            assert!(found.starts_with(start), "{found}");
        }
        assert_eq!(
            message(&[("sal", miou(f64::NAN))], &[Baseline::new("sal", &miou(1.0))]),
            "delta-m: task sal: result: expected a finite number, found NaN"
        );
    }

    #[test]
    fn a_baseline_survives_json() {
        let baseline = Baseline::new("normals", &angle(17.97));
        let json = serde_json::to_string(&baseline).unwrap();
        assert_eq!(
            json,
            r#"{"task":"normals","metric":"mean_angle_deg","value":17.97,"higher_is_better":false}"#
        );
        assert_eq!(serde_json::from_str::<Baseline>(&json).unwrap(), baseline);
        assert!(serde_json::from_str::<Baseline>(r#"{"task":"normals"}"#).is_err());
    }
}
