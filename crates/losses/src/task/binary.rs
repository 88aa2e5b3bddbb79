//! Yes or no per pixel, where one answer is rare: saliency and edges.

use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::loss::{LossValue, TaskLoss, labelled_of};
use crate::task::pair::Pair;
use crate::{Error, Result};

/// `w softplus(-z)` where the target is at least 0.5, `(1 - w) softplus(z)` elsewhere; mean over
/// labelled elements. `w` is the share of negative elements among those labelled in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalancedBce {}

/// As [`BalancedBce`], with a fixed `w`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedBce {
    /// `w`, in `(0, 1)`.
    #[serde(default = "edge_weight")]
    pub positive_weight: f64,
}

/// MTLoRA's weight of edges.
fn edge_weight() -> f64 {
    0.95
}

impl Default for WeightedBce {
    fn default() -> Self {
        Self { positive_weight: edge_weight() }
    }
}

impl Part for BalancedBce {
    const NAME: &'static str = "balanced_bce";
    const SUMMARY: &'static str = "yes or no, the rarer answer weighted up by the batch: saliency";

    fn example() -> Self {
        Self {}
    }
}

impl TaskLoss for BalancedBce {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        let positive = positives(&pair);
        let labelled = pair.labelled();
        let negative = &labelled - positive.sum(Kind::Int64);
        Ok(weighted(&pair, &positive, &(negative / labelled.clamp_min(1))))
    }

    fn label_sums(&self, target: &Tensor) -> Vec<f64> {
        let positive = target.ge(0.5).sum(Kind::Int64).int64_value(&[]);
        vec![labelled_of(target), positive as f64]
    }

    /// `w` is the share of the whole batch.
    fn share(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        own: &[f64],
        all: &[f64],
    ) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        let negative = (all[0] - all[1]) / all[0].max(1.0);
        let weight = Tensor::full([0i64; 0], negative, (Kind::Float, pair.prediction.device()));
        let own = own[0] / all[0].max(1.0);
        Ok(weighted(&pair, &positives(&pair), &weight).times(own, all))
    }
}

impl Part for WeightedBce {
    const NAME: &'static str = "weighted_bce";
    const SUMMARY: &'static str = "yes or no with a fixed weight of yes: edges";

    fn example() -> Self {
        Self::default()
    }
}

impl TaskLoss for WeightedBce {
    fn validate(&self) -> Result<()> {
        if self.positive_weight > 0.0 && self.positive_weight < 1.0 {
            return Ok(());
        }
        Err(Error::Config {
            key: "positive_weight".into(),
            expected: "a number between 0 and 1",
            found: self.positive_weight.to_string(),
        })
    }

    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let pair = Pair::elementwise(prediction, target)?;
        let options = (Kind::Float, pair.prediction.device());
        let weight = Tensor::full([0i64; 0], self.positive_weight, options);
        Ok(weighted(&pair, &positives(&pair), &weight))
    }
}

/// 1 where the answer is yes, 0 elsewhere, also where there is no label.
fn positives(pair: &Pair) -> Tensor {
    pair.target.ge(0.5).to_kind(Kind::Float)
}

fn weighted(pair: &Pair, positive: &Tensor, weight: &Tensor) -> LossValue {
    let wrong_way: Tensor = &pair.prediction * (1.0 - positive * 2.0);
    let weights = positive * weight + (1.0 - positive) * (1.0 - weight);
    pair.mean(&(wrong_way.softplus() * weights))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    use crate::task::testing::{agrees, classes, is_zero_without_labels, prediction, with_nan};

    /// Straight from the formula; without `w` it is taken from the batch.
    fn brute(z: &[f64], y: &[f64], w: Option<f64>) -> f64 {
        let labelled: Vec<(f64, f64)> = z.iter().copied().zip(y.iter().copied()).collect();
        let labelled: Vec<_> = labelled.into_iter().filter(|(_, y)| !y.is_nan()).collect();
        let negative = labelled.iter().filter(|(_, y)| *y < 0.5).count() as f64;
        let w = w.unwrap_or(negative / labelled.len() as f64);
        let softplus = |x: f64| x.exp().ln_1p();
        let term = |(z, y): &(f64, f64)| {
            if *y >= 0.5 { w * softplus(-z) } else { (1.0 - w) * softplus(*z) }
        };
        labelled.iter().map(term).sum::<f64>() / labelled.len() as f64
    }

    #[test]
    fn weights_come_from_the_labelled_part_of_the_batch() {
        let y = with_nan(&classes(1, &[2, 1, 5, 4], 2));
        agrees(&BalancedBce {}, &prediction(2, &[2, 1, 5, 4]), &y, |z, y| brute(z, y, None));
    }

    #[test]
    fn edges_have_a_fixed_weight() {
        let y = with_nan(&classes(1, &[2, 1, 5, 4], 2));
        let loss = WeightedBce::default();
        agrees(&loss, &prediction(2, &[2, 1, 5, 4]), &y, |z, y| brute(z, y, Some(0.95)));
    }

    /// At z = 0 the loss is `2 ln 2 n+ n- / N^2`.
    #[test]
    fn saliency_at_zero_is_known() {
        let z = Tensor::zeros([1, 1, 2, 5], (Kind::Float, Device::Cpu));
        let y = Tensor::from_slice(&[1f32, 1., 1., 0., 0., 0., 0., 0., 0., 0.]).view([1, 1, 2, 5]);
        let loss = BalancedBce {}.forward(&z, &y).unwrap().loss.double_value(&[]);
        assert!((loss - 2.0 * 2f64.ln() * 21.0 / 100.0).abs() < 1e-7, "{loss}");
    }

    #[test]
    fn far_off_logits_stay_finite() {
        let z = Tensor::from_slice(&[-1e4f32, 1e4]).view([1, 1, 1, 2]).set_requires_grad(true);
        let y = Tensor::from_slice(&[1f32, 0.]).view([1, 1, 1, 2]);
        let loss = BalancedBce {}.forward(&z, &y).unwrap().loss;
        assert_eq!(loss.double_value(&[]), 5000.0);
        loss.backward();
        assert!(z.grad().equal(&Tensor::from_slice(&[-0.25f32, 0.25]).view([1, 1, 1, 2])));
    }

    #[test]
    fn a_batch_without_labels_is_zero() {
        is_zero_without_labels(&BalancedBce {}, &[2, 1, 3, 4], &[2, 1, 3, 4]);
        is_zero_without_labels(&WeightedBce::default(), &[2, 1, 3, 4], &[2, 1, 3, 4]);
    }

    #[test]
    fn constants_are_checked() {
        let message = WeightedBce { positive_weight: 1.0 }.validate().unwrap_err().to_string();
        assert_eq!(message, "positive_weight: expected a number between 0 and 1, found 1");
    }
}
