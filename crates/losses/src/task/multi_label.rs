//! Which of several classes are present: tags.

use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::task::loss::{LossValue, TaskLoss};
use crate::task::pair::Pair;

/// `y softplus(-z) + (1 - y) softplus(z)`, with `y` in `[0, 1]`; mean over labelled elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiLabelBce {}

impl Part for MultiLabelBce {
    const NAME: &'static str = "multi_label_bce";
    const SUMMARY: &'static str = "which classes are present: tags";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for MultiLabelBce {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        // softplus(-z) = softplus(z) - z, so one softplus serves both terms.
        Ok(pair.mean(&(pair.prediction.softplus() - &pair.prediction * &pair.target)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::{agrees, classes, is_zero_without_labels, prediction, with_nan};

    #[test]
    fn every_tag_counts_alike() {
        let y = with_nan(&classes(1, &[4, 6, 1, 1], 2));
        agrees(&MultiLabelBce {}, &prediction(2, &[4, 6]), &y, |z, y| {
            let known: Vec<_> = z.iter().zip(y).filter(|(_, y)| !y.is_nan()).collect();
            let term = |z: f64, y: f64| {
                let p = 1.0 / (1.0 + (-z).exp());
                -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
            };
            known.iter().map(|(z, y)| term(**z, **y)).sum::<f64>() / known.len() as f64
        });
    }

    #[test]
    fn a_batch_without_labels_is_zero() {
        is_zero_without_labels(&MultiLabelBce {}, &[4, 6], &[4, 6, 1, 1]);
    }
}
