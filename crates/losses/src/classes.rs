//! Whether a target holds class indices.

use polyptych_tensor::Tensor;

use crate::{Error, Result};

/// Checks that every element of `target` is an index `0..classes` or NaN.
///
/// Meant for labels on the CPU, before they are on a device: it reads the result, so it waits for
/// the device that the target is on.
///
/// # Errors
/// Names the first number that is no class index.
pub fn check_classes(target: &Tensor, classes: i64) -> Result<()> {
    let outside = target.lt(0).logical_or(&target.ge(classes));
    // The fraction of NaN is NaN, which is not above 0.
    let wrong = outside.logical_or(&target.frac().abs().gt(0.0));
    let found = target.masked_select(&wrong);
    if found.numel() == 0 {
        return Ok(());
    }
    Err(Error::ClassIndex { classes, found: found.double_value(&[0]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(values: &[f32]) -> String {
        check_classes(&Tensor::from_slice(values), 21).unwrap_err().to_string()
    }

    #[test]
    fn indices_and_nan_pass() {
        check_classes(&Tensor::from_slice(&[0f32, 20., f32::NAN]), 21).unwrap();
        check_classes(&Tensor::from_slice::<f32>(&[]), 21).unwrap();
    }

    #[test]
    fn other_numbers_are_named() {
        let message = "target: expected class indices 0..21 or NaN, found ";
        assert_eq!(refusal(&[0., 255., 300.]), format!("{message}255"));
        assert_eq!(refusal(&[-1.]), format!("{message}-1"));
        assert_eq!(refusal(&[1.5]), format!("{message}1.5"));
        assert_eq!(refusal(&[f32::INFINITY]), format!("{message}inf"));
    }
}
