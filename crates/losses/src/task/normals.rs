//! Surface normals.

use polyptych_kernels::normals_l1;
use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::task::loss::{LossValue, TaskLoss};
use crate::task::pair::{Pair, elementwise, shape_error};

/// `|z / (|z|_2 + 1e-12) - y|` per component; mean over labelled components, three a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalsL1 {}

impl Part for NormalsL1 {
    const NAME: &'static str = "normals_l1";
    const SUMMARY: &'static str = "distance of unit vectors: surface normals";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for NormalsL1 {
    /// Three numbers are a vector in a map alone.
    fn is_dense(&self) -> Option<bool> {
        Some(true)
    }

    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let [vectors, normals] = elementwise(prediction, target)?;
        if vectors.size()[1] != 3 {
            return Err(shape_error("prediction", "[batch, 3, ..]".into(), prediction));
        }
        Ok(match normals_l1(&vectors, &normals) {
            Some((loss, labelled)) => LossValue { loss, labelled: labelled.into() },
            None => Self::plain(&Pair::parted(&vectors, &normals)),
        })
    }
}

impl NormalsL1 {
    /// Keeps a zero vector from 0 / 0.
    const EPS: f64 = 1e-12;

    /// In LibTorch's operations.
    fn plain(pair: &Pair) -> LossValue {
        let length = pair.prediction.norm_scalaropt_dim(2, [1i64].as_slice(), true);
        let unit = &pair.prediction / (length + Self::EPS);
        pair.mean(&(unit - &pair.target).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::{agrees, is_zero_without_labels, prediction, with_nan};

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

    /// Enough pixels for the form that takes them side by side, and a rest; a zero vector.
    #[test]
    fn many_pixels_are_as_a_few() {
        let shape = [2, 3, 83, 67];
        let y = with_nan(&unit(&prediction(1, &shape)));
        let from = prediction(2, &shape);
        drop(from.narrow(3, 5, 1).narrow(2, 5, 1).zero_());
        let [fast, plain] = [true, false].map(|fast| {
            let z = from.copy().set_requires_grad(true);
            let LossValue { loss, labelled } = match fast {
                true => NormalsL1 {}.forward(&z, &y).unwrap(),
                false => NormalsL1::plain(&Pair::parted(&z, &y)),
            };
            (&loss * 3.0).backward();
            (loss.double_value(&[]), labelled.int64_value(&[]), z.grad())
        });
        assert!((fast.0 - plain.0).abs() < 1e-6 * plain.0 && fast.1 == plain.1);
        // A component that meets its label may round to either side.
        let apart = (&fast.2 - &plain.2).norm() / plain.2.norm();
        assert!(apart.double_value(&[]) < 1e-5, "{apart:?}");
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
