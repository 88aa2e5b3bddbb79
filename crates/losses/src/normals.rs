//! Surface normals.

use polyptych_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::pair::{Pair, shape_error};
use crate::{LossValue, Result, TaskLoss};

/// `|z / (|z|_2 + 1e-12) - y|` per component; mean over labelled components, three a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalsL1 {}

impl NormalsL1 {
    /// Keeps a zero vector from 0 / 0.
    const EPS: f64 = 1e-12;
}

impl TaskLoss for NormalsL1 {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        if pair.prediction.size()[1] != 3 {
            return Err(shape_error("prediction", "[batch, 3, ..]".into(), prediction));
        }
        let squares = pair.prediction.square().sum_dim_intlist([1i64].as_slice(), true, None);
        // A norm by an operation of its own is slow over a leading axis; the bound keeps the root
        // of a zero vector from an infinite gradient.
        let length = squares.clamp_min(f64::from(f32::MIN_POSITIVE)).sqrt();
        let unit = &pair.prediction / (length + Self::EPS);
        Ok(pair.mean(&(unit - &pair.target).abs()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{agrees, is_zero_without_labels, prediction, with_nan};

    const SHAPE: [i64; 4] = [2, 3, 2, 5];

    fn unit(z: &Tensor) -> Tensor {
        z / z.norm_scalaropt_dim(2, [1i64].as_slice(), true)
    }

    fn brute(z: &[f64], y: &[f64]) -> f64 {
        let (pixels, mut sum, mut count) = (10, 0.0, 0.0);
        for at in (0..y.len()).filter(|&at| !y[at].is_nan()) {
            let first = at / (3 * pixels) * 3 * pixels + at % pixels;
            let length = (0..3).map(|c| z[first + c * pixels].powi(2)).sum::<f64>().sqrt();
            sum += (z[at] / (length + 1e-12) - y[at]).abs();
            count += 1.0;
        }
        sum / count
    }

    #[test]
    fn the_mean_counts_labelled_components() {
        let y = with_nan(&unit(&prediction(1, &SHAPE)));
        agrees(&NormalsL1 {}, &prediction(2, &SHAPE), &y, brute);
    }

    #[test]
    fn length_does_not_matter() {
        let y = prediction(1, &SHAPE);
        let value = |z: &Tensor| {
            NormalsL1 {}.forward(z, &with_nan(&unit(&y))).unwrap().loss.double_value(&[])
        };
        assert!(value(&y) < 1e-7);
        let z = prediction(2, &SHAPE);
        assert!((value(&z) - value(&(&z * 37.0))).abs() < 1e-6);
    }

    #[test]
    fn a_zero_vector_has_a_finite_gradient() {
        let z = (prediction(1, &SHAPE) * 0.0).set_requires_grad(true);
        NormalsL1 {}.forward(&z, &with_nan(&unit(&prediction(2, &SHAPE)))).unwrap().loss.backward();
        assert_eq!(z.grad().isfinite().all().int64_value(&[]), 1);
    }

    #[test]
    fn a_batch_without_labels_is_zero() {
        is_zero_without_labels(&NormalsL1 {}, &SHAPE, &SHAPE);
    }

    #[test]
    fn other_than_three_components_are_refused() {
        let z = prediction(1, &[2, 1, 2, 5]);
        let message = NormalsL1 {}.forward(&z, &z).unwrap_err().to_string();
        assert_eq!(message, "prediction: expected shape [batch, 3, ..], found [2, 1, 2, 5]");
    }
}
