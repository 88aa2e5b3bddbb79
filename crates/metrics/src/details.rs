//! What a measure knows beside its scores, for tables, plots and pages.

use serde::Serialize;

/// Counts behind the scores; a measure has those that its task has.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Details {
    /// Labelled pixels or images by `[target class][predicted class]`. A column behind the classes
    /// counts predictions of other tasks' classes, where tasks share a space of labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u64>>,
    /// The curve over thresholds, which rise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub precision_recall: Vec<PrecisionRecall>,
    /// How often each size of error occurs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorHistogram>,
}

impl Details {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Precision and recall at one threshold, shares in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// The least probability that counts as a prediction.
    pub threshold: f64,
    /// Share of predictions that are right.
    pub precision: f64,
    /// Share of labels that are found.
    pub recall: f64,
}

/// Errors of pixels in bins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorHistogram {
    /// `deg` or `m`.
    pub unit: &'static str,
    /// Ends of the bins in `unit`, one more than there are bins.
    pub edges: Vec<f64>,
    /// Pixels in each bin; smaller and larger errors count in the first and the last.
    pub counts: Vec<u64>,
}
