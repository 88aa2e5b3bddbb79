//! What each metric asks of its inputs before it counts anything.

use ndarray::ArrayView3;

use crate::error::{MetricError, Result};

/// Refuses `view` unless it has the `expected` shape.
pub(crate) fn shape(
    metric: &'static str,
    key: &'static str,
    view: &ArrayView3<f32>,
    expected: [usize; 3],
) -> Result<()> {
    let found = view.dim().into();
    if found == expected {
        return Ok(());
    }
    Err(MetricError::Shape { metric, key, expected, found })
}

/// Refuses a prediction of other than `channels` channels, and a target of other than
/// `target_channels` channels or of another size than the prediction.
pub(crate) fn shapes(
    metric: &'static str,
    (prediction, channels): (&ArrayView3<f32>, usize),
    (target, target_channels): (&ArrayView3<f32>, usize),
) -> Result<()> {
    let (_, height, width) = prediction.dim();
    shape(metric, "prediction", prediction, [channels, height, width])?;
    shape(metric, "target", target, [target_channels, height, width])
}

/// Refuses the first prediction that is not finite or not `valid`.
pub(crate) fn prediction(
    metric: &'static str,
    view: &ArrayView3<f32>,
    expected: &str,
    valid: impl Fn(f32) -> bool,
) -> Result<()> {
    match find(view, |value| !value.is_finite() || !valid(value)) {
        None => Ok(()),
        Some((at, found)) if !found.is_finite() => {
            Err(MetricError::NonFinite { metric, at, found })
        }
        Some((at, found)) => Err(out_of_range(metric, "prediction", at, expected, found)),
    }
}

/// Refuses the first target that is neither unlabelled (`NaN`) nor finite and `valid`.
pub(crate) fn target(
    metric: &'static str,
    view: &ArrayView3<f32>,
    expected: &str,
    valid: impl Fn(f32) -> bool,
) -> Result<()> {
    match find(view, |value| value.is_infinite() || !(value.is_nan() || valid(value))) {
        None => Ok(()),
        Some((at, found)) => Err(out_of_range(metric, "target", at, expected, found)),
    }
}

/// Whether `value` is one of the whole numbers from 0 up to, not including, `num_classes`.
pub(crate) fn is_class(value: f32, num_classes: usize) -> bool {
    value.fract() == 0.0 && value >= 0.0 && (value as usize) < num_classes
}

/// The error of a value that means nothing for this metric.
pub(crate) fn out_of_range(
    metric: &'static str,
    key: &'static str,
    at: [usize; 3],
    expected: &str,
    found: f32,
) -> MetricError {
    MetricError::OutOfRange { metric, key, at, expected: expected.into(), found }
}

fn find(view: &ArrayView3<f32>, wrong: impl Fn(f32) -> bool) -> Option<([usize; 3], f32)> {
    let (at, &found) = view.indexed_iter().find(|&(_, &value)| wrong(value))?;
    Some((at.into(), found))
}
