//! What every measure has in common: it sees images one by one and then says how good they were.

use ndarray::ArrayView3;
use serde::Serialize;

use crate::Details;
use crate::error::Result;
use crate::seen::{Seen, SeenMut};

/// A measure of one task over a set of images.
pub trait Metric: Send {
    /// Takes one image into account.
    ///
    /// # Shapes
    /// `prediction` and `target` are `[channels, height, width]`; the channels of each are the
    /// metric's to say. `NaN` in the target marks what is unlabelled; an image without any label
    /// is accepted and changes nothing.
    ///
    /// # Errors
    /// A wrong shape, a prediction that is not finite, or a value out of range; the metric is
    /// then as it was before the call.
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()>;

    /// Scores over all images seen, the headline number first.
    ///
    /// # Errors
    /// [`MetricError::NoLabel`](crate::MetricError::NoLabel) if no labelled pixel was seen.
    fn compute(&self) -> Result<Vec<Score>>;

    /// All that it adds up over images.
    fn seen_mut(&mut self) -> SeenMut<'_>;

    /// A copy of all that it has added up.
    fn seen(&mut self) -> Seen {
        self.seen_mut().copy()
    }

    /// Adds what another metric of the same kind and options has seen: the scores are those of one
    /// metric that has seen all, to the last digit.
    fn merge(&mut self, other: &Seen) {
        self.seen_mut().add(other);
    }

    /// The value of each class, in the order of classes; nothing for a measure without classes.
    fn per_class(&self) -> Vec<ClassScore> {
        Vec::new()
    }

    /// Counts behind the scores: confusion of classes, precision and recall over thresholds, or
    /// sizes of errors; nothing for a measure that keeps none.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// The value of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassScore {
    /// `iou`, `accuracy` or `average_precision`.
    pub metric: &'static str,
    /// The number in percent; none, `null` in JSON, where it is 0 / 0: such a class counts in no
    /// mean.
    pub value: Option<f64>,
    /// Whether any label has the class.
    pub labelled: bool,
}

/// One number of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Name as it stands in tables and logs, such as `miou`, `mean_angle_deg`, `rmse_m`, `ods_f`.
    pub name: &'static str,
    /// The number, in `unit`.
    pub value: f64,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// `%`, `deg`, `m`, or empty for a plain ratio.
    pub unit: &'static str,
}

impl Score {
    /// A share of one, given in percent, of which more is better.
    pub(crate) fn percent(name: &'static str, share: f64) -> Self {
        Self { name, value: 100.0 * share, higher_is_better: true, unit: "%" }
    }

    /// An error, of which less is better.
    pub(crate) fn error(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, higher_is_better: false, unit }
    }
}
