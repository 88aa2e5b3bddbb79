//! A number per pixel: depth.

use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::task::loss::{LossValue, TaskLoss};
use crate::task::pair::Pair;

/// `|z - y|`; mean over labelled elements, in the units of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct L1 {}

impl Part for L1 {
    const NAME: &'static str = "l1";
    const SUMMARY: &'static str = "distance of numbers: depth";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for L1 {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        Ok(pair.mean(&(&pair.prediction - &pair.target).abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::{agrees, is_zero_without_labels, prediction, with_nan};

    #[test]
    fn the_mean_counts_labelled_elements() {
        let y = with_nan(&prediction(1, &[2, 1, 3, 4]));
        agrees(&L1 {}, &prediction(2, &[2, 1, 3, 4]), &y, |z, y| {
            let known: Vec<_> = z.iter().zip(y).filter(|(_, y)| !y.is_nan()).collect();
            known.iter().map(|(z, y)| (*z - *y).abs()).sum::<f64>() / known.len() as f64
        });
    }

    #[test]
    fn a_batch_without_labels_is_zero() {
        is_zero_without_labels(&L1 {}, &[2, 1, 3, 4], &[2, 1, 3, 4]);
    }
}
