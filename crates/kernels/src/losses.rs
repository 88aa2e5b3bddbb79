//! Losses of maps, pixel by pixel.

use tch::Tensor;

use crate::bridge::{at, ffi, optional_output};
use crate::error::{Result, torch};

/// Cross entropy of `prediction`, `[batch, classes, height, width]`, with the class indices in
/// `target`, `[batch, 1, height, width]`, NaN where there is no label, and how many labels there
/// are. The mean is weighted: `background_weight` for class 0 and 1 for the others; `smoothing` is
/// the fraction of the target that is spread over all classes.
///
/// Nothing where it takes other operations: on other devices than the CPU, in other types than
/// float32, for a few pixels, in a trace. Kept for the backward pass are both arguments and two
/// numbers a pixel.
///
/// # Errors
/// A label that is no class.
pub fn cross_entropy(
    prediction: &Tensor,
    target: &Tensor,
    (smoothing, background_weight): (f64, f64),
) -> Result<Option<(Tensor, i64)>> {
    let (from, to, mut labelled) = (at(prediction), at(target), 0);
    let loss = ffi::cross_entropy(from, to, smoothing, background_weight, &mut labelled);
    Ok(optional_output(loss.map_err(torch("cross_entropy"))?).map(|loss| (loss, labelled)))
}

/// Mean of `|z / (|z|_2 + 1e-12) - y|` over labelled components of `prediction` and `target`,
/// `[batch, 3, height, width]` both, NaN where there is no label, and how many are labelled.
/// Nothing where [`cross_entropy`] gives nothing.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn normals_l1(prediction: &Tensor, target: &Tensor) -> Option<(Tensor, i64)> {
    let mut labelled = 0;
    let loss = ffi::normals_l1(at(prediction), at(target), &mut labelled);
    optional_output(loss.unwrap_or_else(|error| panic!("normals_l1: {error}")))
        .map(|loss| (loss, labelled))
}
