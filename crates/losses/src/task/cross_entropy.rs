//! Which of several classes: semantic segmentation, human parts, classification.

use polyptych_kernels::cross_entropy;
use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::loss::{LossValue, TaskLoss, labelled_of};
use crate::task::pair::{Pair, indexed, shape_error};
use crate::{Error, Result};

/// `-(1 - e) log p_y - e mean_c log p_c`, with `p` the softmax of the outputs and `e` the label
/// smoothing; mean over labelled pixels, or images. With a background weight `w_0` other than 1 the
/// mean is weighted: `sum w_y L_y / sum w_y`, with `w_y = w_0` for class 0 and 1 for the others.
///
/// The target has one channel, which holds class indices. An index that is no class is an error
/// on the CPU but stops a CUDA device for good, so data is checked before, with
/// [`check_classes`](crate::check_classes).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// Share of the target that is spread over all classes, in `[0, 1)`; MTLoRA has 0.
    pub label_smoothing: f64,
    /// Weight of class 0, above 0; below 1 where the background covers nearly everything.
    pub background_weight: f64,
}

impl Default for CrossEntropy {
    /// MTLoRA's: no smoothing, all classes alike.
    fn default() -> Self {
        Self { label_smoothing: 0.0, background_weight: 1.0 }
    }
}

impl Part for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const SUMMARY: &'static str =
        "which of several classes: segmentation, human parts, classification";

    fn example() -> Self {
        Self::default()
    }
}

impl TaskLoss for CrossEntropy {
    fn validate(&self) -> Result<()> {
        let wrong = |key: &str, expected, found: f64| {
            Err(Error::Config { key: key.into(), expected, found: found.to_string() })
        };
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return wrong("label_smoothing", "at least 0 and below 1", self.label_smoothing);
        }
        match self.background_weight {
            w if w > 0.0 && w.is_finite() => Ok(()),
            w => wrong("background_weight", "a finite number above 0", w),
        }
    }

    fn forward(&self, prediction: &Tensor, target: &Tensor) -> Result<LossValue> {
        let [logits, classes] = indexed(prediction, target)?;
        if logits.size()[1] < 2 {
            let expected = "[batch, 2 or more classes, ..]".into();
            return Err(shape_error("prediction", expected, prediction));
        }
        let weights = (self.label_smoothing, self.background_weight);
        match cross_entropy(&logits, &classes, weights)? {
            Some((loss, labelled)) => Ok(LossValue { loss, labelled: labelled.into() }),
            None => self.plain(&Pair::parted(&logits, &classes)),
        }
    }

    fn label_sums(&self, target: &Tensor) -> Vec<f64> {
        let background = target.eq(0.0).sum(Kind::Int64).int64_value(&[]);
        vec![labelled_of(target), background as f64]
    }

    fn share(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        own: &[f64],
        all: &[f64],
    ) -> Result<LossValue> {
        let (own, all_weight) = (self.weight_of(own), self.weight_of(all));
        let factor = if all_weight > 0.0 { own / all_weight } else { 0.0 };
        Ok(self.forward(prediction, target)?.times(factor, all))
    }
}

impl CrossEntropy {
    /// What the loss divides by: `sum w_y`.
    fn weight_of(&self, sums: &[f64]) -> f64 {
        sums[0] + (self.background_weight - 1.0) * sums[1]
    }

    /// In LibTorch's operations.
    fn plain(&self, pair: &Pair) -> Result<LossValue> {
        let log_p = pair.prediction.log_softmax(1, Kind::Float);
        let index = pair.target.to_kind(Kind::Int64);
        let own = log_p.f_gather(1, &index, false).map_err(polyptych_tensor::Error::from)?;
        let each = -smoothed(own, &log_p, self.label_smoothing);
        if self.background_weight == 1.0 {
            return Ok(pair.mean(&each));
        }
        let weight = index.eq(0).to_kind(Kind::Float) * (self.background_weight - 1.0) + 1.0;
        let LossValue { loss, labelled } = pair.mean(&(each * &weight));
        // Without labels both means are 0, and so is the loss.
        let total = pair.mean(&weight).loss.clamp_min(f64::from(f32::MIN_POSITIVE));
        Ok(LossValue { loss: loss / total, labelled })
    }
}

fn smoothed(own: Tensor, log_p: &Tensor, share: f64) -> Tensor {
    if share == 0.0 {
        return own;
    }
    let spread = log_p.mean_dim([1i64].as_slice(), true, Kind::Float);
    own * (1.0 - share) + spread * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::{agrees, classes, is_zero_without_labels, prediction, with_nan};

    /// Straight from the formula; `z` is `[batch, classes, pixels]`, `y` is `[batch, pixels]`.
    fn brute(z: &[f64], y: &[f64], [num_classes, pixels]: [usize; 2], share: f64) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (at, class) in y.iter().enumerate().filter(|(_, class)| !class.is_nan()) {
            let (b, p) = (at / pixels, at % pixels);
            let logit = |c: usize| z[(b * num_classes + c) * pixels + p];
            let total: f64 = (0..num_classes).map(|c| logit(c).exp()).sum();
            let log_p = |c: usize| logit(c) - total.ln();
            let mean: f64 = (0..num_classes).map(log_p).sum::<f64>() / num_classes as f64;
            sum -= (1.0 - share) * log_p(*class as usize) + share * mean;
            count += 1.0;
        }
        sum / count
    }

    #[test]
    fn pixels_without_label_do_not_count() {
        let y = with_nan(&classes(1, &[2, 1, 3, 4], 5));
        for share in [0.0, 0.1] {
            let loss = CrossEntropy { label_smoothing: share, ..CrossEntropy::default() };
            agrees(&loss, &prediction(2, &[2, 5, 3, 4]), &y, |z, y| brute(z, y, [5, 12], share));
        }
    }

    #[test]
    fn the_background_counts_as_it_weighs() {
        let y = with_nan(&classes(1, &[2, 1, 3, 4], 5));
        let loss = CrossEntropy { background_weight: 0.25, ..CrossEntropy::default() };
        agrees(&loss, &prediction(2, &[2, 5, 3, 4]), &y, |z, y| {
            let only = |keep: &dyn Fn(f64) -> bool| -> (f64, f64) {
                let kept: Vec<f64> =
                    y.iter().map(|&c| if keep(c) { c } else { f64::NAN }).collect();
                let count = kept.iter().filter(|c| !c.is_nan()).count() as f64;
                // A draw may lack a class; the mean over nothing is no number.
                if count == 0.0 {
                    (0.0, 0.0)
                } else {
                    (brute(z, &kept, [5, 12], 0.0) * count, count)
                }
            };
            let ((back, n_back), (rest, n_rest)) = (only(&|c| c == 0.0), only(&|c| c > 0.0));
            (0.25 * back + rest) / (0.25 * n_back + n_rest)
        });
    }

    /// Enough pixels for the form that takes them side by side, and a rest.
    #[test]
    fn many_pixels_are_as_a_few() {
        let shape = [2, 5, 83, 67];
        let y = with_nan(&classes(1, &[2, 1, 83, 67], 5));
        for (label_smoothing, background_weight) in [(0.0, 1.0), (0.1, 0.25)] {
            let loss = CrossEntropy { label_smoothing, background_weight };
            let both = [true, false].map(|fast| {
                let z = (prediction(2, &shape) * 8.0).set_requires_grad(true);
                let value = match fast {
                    true => loss.forward(&z, &y),
                    false => loss.plain(&Pair::parted(&z, &y)),
                };
                let LossValue { loss, labelled } = value.unwrap();
                (&loss * 3.0).backward();
                (loss.double_value(&[]), labelled.int64_value(&[]), z.grad())
            });
            let [fast, plain] = both;
            assert!((fast.0 - plain.0).abs() < 1e-6 * plain.0 && fast.1 == plain.1);
            let apart = (&fast.2 - &plain.2).norm() / plain.2.norm();
            assert!(apart.double_value(&[]) < 1e-6, "{apart:?}");
        }
    }

    #[test]
    fn whole_images_are_classified() {
        let y = with_nan(&classes(1, &[6, 1, 1, 1], 4));
        let loss = CrossEntropy::default();
        agrees(&loss, &prediction(2, &[6, 4]), &y, |z, y| brute(z, y, [4, 1], 0.0));
    }

    #[test]
    fn what_is_predicted_without_label_does_not_matter() {
        let y = with_nan(&classes(1, &[2, 1, 3, 4], 5));
        let z = prediction(2, &[2, 5, 3, 4]);
        let other = z.where_self(&y.isnan().logical_not(), &prediction(3, &[2, 5, 3, 4]));
        let [a, b] = [&z, &other].map(|z| CrossEntropy::default().forward(z, &y).unwrap().loss);
        assert!(a.equal(&b) && !z.equal(&other));
    }

    #[test]
    fn a_batch_without_labels_is_zero() {
        is_zero_without_labels(&CrossEntropy::default(), &[2, 5, 3, 4], &[2, 1, 3, 4]);
        is_zero_without_labels(&CrossEntropy::default(), &[2, 5, 9, 11], &[2, 1, 9, 11]);
        let smooth = CrossEntropy { label_smoothing: 0.1, background_weight: 0.5 };
        is_zero_without_labels(&smooth, &[2, 5], &[2, 1]);
    }

    #[test]
    fn bad_input_is_refused() {
        let refusal = |z: &[i64], y: &Tensor| {
            CrossEntropy::default().forward(&prediction(1, z), y).unwrap_err().to_string()
        };
        let message = refusal(&[2, 1], &classes(1, &[2, 1], 1));
        assert_eq!(
            message,
            "prediction: expected shape [batch, 2 or more classes, ..], found [2, 1]"
        );
        let message = refusal(&[2, 3], &(classes(2, &[2, 1], 1) + 255.0));
        assert!(message.contains("index 255 is out of bounds"), "{message}");
        let message = refusal(&[2, 3, 8, 9], &(classes(2, &[2, 1, 8, 9], 1) + 255.0));
        assert!(message.contains("index 255 is out of bounds"), "{message}");
    }

    #[test]
    fn constants_are_checked() {
        let smoothed = CrossEntropy { label_smoothing: f64::NAN, ..CrossEntropy::default() };
        let message = smoothed.validate().unwrap_err().to_string();
        assert_eq!(message, "label_smoothing: expected at least 0 and below 1, found NaN");
        let none = CrossEntropy { background_weight: 0.0, ..CrossEntropy::default() };
        let message = none.validate().unwrap_err().to_string();
        assert_eq!(message, "background_weight: expected a finite number above 0, found 0");
    }
}
