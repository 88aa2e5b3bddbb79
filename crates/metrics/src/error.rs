//! What can be wrong with what a metric is given, or asked for.

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, MetricError>;

/// Why a metric refuses an input or has nothing to say.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// An option of a metric is outside its range.
    #[error("{metric}: {key}: expected {expected}, found {found}")]
    Option {
        /// Metric that was being built.
        metric: &'static str,
        /// Name of the option.
        key: &'static str,
        /// What the option accepts.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Prediction or target has another shape than the metric, or each other, require.
    #[error("{metric}: {key}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Metric that was being updated.
        metric: &'static str,
        /// `prediction` or `target`.
        key: &'static str,
        /// Required `[channels, height, width]`.
        expected: [usize; 3],
        /// Given `[channels, height, width]`.
        found: [usize; 3],
    },
    /// A prediction is infinite or not a number.
    #[error("{metric}: prediction at {at:?}: expected a finite number, found {found}")]
    NonFinite {
        /// Metric that was being updated.
        metric: &'static str,
        /// `[channel, row, column]` of the first such value.
        at: [usize; 3],
        /// The value.
        found: f32,
    },
    /// A value is finite but means nothing for this metric.
    #[error("{metric}: {key} at {at:?}: expected {expected}, found {found}")]
    OutOfRange {
        /// Metric that was being updated.
        metric: &'static str,
        /// `prediction` or `target`.
        key: &'static str,
        /// `[channel, row, column]` of the first such value.
        at: [usize; 3],
        /// What the metric accepts.
        expected: String,
        /// The value.
        found: f32,
    },
    /// No labelled pixel was seen, so there is no score; callers may leave the task out.
    #[error("{metric}: no labelled pixel")]
    NoLabel {
        /// Metric that was asked.
        metric: &'static str,
    },
    /// A delta over no task at all.
    #[error("delta-m: expected at least one task, found none")]
    NoTask,
    /// A task is measured but has no baseline, or the other way round.
    #[error("delta-m: task {task}: expected one result and one baseline, found no {missing}")]
    MissingTask {
        /// Name of the task.
        task: String,
        /// `result` or `baseline`.
        missing: &'static str,
    },
    /// A task is listed twice.
    #[error("delta-m: task {task}: expected one {key}, found {found}")]
    RepeatedTask {
        /// Name of the task.
        task: String,
        /// `result` or `baseline`.
        key: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Result and baseline of a task are different measures.
    #[error("delta-m: task {task}: {key}: expected {expected} as in the baseline, found {found}")]
    MixedDefinition {
        /// Name of the task.
        task: String,
        /// `metric` or `higher_is_better`.
        key: &'static str,
        /// What the baseline was measured with.
        expected: String,
        /// What the result was measured with.
        found: String,
    },
    /// A baseline of zero, or a value that is not finite, cannot be compared.
    #[error("delta-m: task {task}: {key}: expected {expected}, found {found}")]
    NotComparable {
        /// Name of the task.
        task: String,
        /// `result` or `baseline`.
        key: &'static str,
        /// What can be compared.
        expected: &'static str,
        /// The value.
        found: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_metric_key_expected_and_found() {
        let cases = [
            (
                MetricError::Option {
                    metric: "edges",
                    key: "num_thresholds",
                    expected: "at least 1",
                    found: "0".into(),
                },
                "edges: num_thresholds: expected at least 1, found 0",
            ),
            (
                MetricError::Shape {
                    metric: "depth",
                    key: "target",
                    expected: [1, 2, 3],
                    found: [1, 2, 4],
                },
                "depth: target: expected shape [1, 2, 3], found [1, 2, 4]",
            ),
            (
                MetricError::NonFinite { metric: "depth", at: [0, 1, 2], found: f32::NAN },
                "depth: prediction at [0, 1, 2]: expected a finite number, found NaN",
            ),
            (
                MetricError::OutOfRange {
                    metric: "semseg_iou",
                    key: "target",
                    at: [0, 0, 1],
                    expected: "a class in 0..4".into(),
                    found: 255.0,
                },
                "semseg_iou: target at [0, 0, 1]: expected a class in 0..4, found 255",
            ),
            (MetricError::NoLabel { metric: "normals" }, "normals: no labelled pixel"),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }
}
