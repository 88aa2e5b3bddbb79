//! How often is the right class first, or among the first five?

use ndarray::ArrayView3;

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};

const NAME: &str = "top_k";

/// Top-1 and top-5 accuracy of image classification.
///
/// # Shapes
/// Prediction `[classes, 1, 1]` holds logits or probabilities, target `[1, 1, 1]` a class index.
///
/// # Scores
/// - `top1` (%): share of images whose class has the highest value
/// - `top5` (%): share of images whose class is among the five highest; left out below six classes
///
/// Of equal values the lower class index ranks first, as arg-max has it.
#[derive(Debug, Clone)]
pub struct TopK {
    num_classes: usize,
    images: u64,
    top1: u64,
    top5: u64,
}

impl TopK {
    /// A metric over `num_classes` classes.
    ///
    /// # Errors
    /// If there are no classes.
    pub fn new(num_classes: usize) -> Result<Self> {
        if num_classes == 0 {
            let (key, expected) = ("num_classes", "at least 1");
            return Err(MetricError::Option { metric: NAME, key, expected, found: "0".into() });
        }
        Ok(Self { num_classes, images: 0, top1: 0, top5: 0 })
    }
}

impl Metric for TopK {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        let expected = format!("a class in 0..{}", self.num_classes);
        check::shape(NAME, "prediction", &prediction, [self.num_classes, 1, 1])?;
        check::shape(NAME, "target", &target, [1, 1, 1])?;
        check::prediction(NAME, &prediction, "a logit", |_| true)?;
        check::target(NAME, &target, &expected, |v| check::is_class(v, self.num_classes))?;
        let label = target[[0, 0, 0]];
        if !label.is_nan() {
            let rank = rank(&prediction, label as usize);
            self.images += 1;
            self.top1 += u64::from(rank < 1);
            self.top5 += u64::from(rank < 5);
        }
        Ok(())
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.images == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let share = |count: u64| count as f64 / self.images as f64;
        let mut scores = vec![Score::percent("top1", share(self.top1))];
        if self.num_classes > 5 {
            scores.push(Score::percent("top5", share(self.top5)));
        }
        Ok(scores)
    }
}

/// Number of classes that come before `class`.
fn rank(prediction: &ArrayView3<f32>, class: usize) -> usize {
    let own = prediction[[class, 0, 0]];
    let before = |&(index, &value): &(usize, &f32)| value > own || (value == own && index < class);
    prediction.iter().enumerate().filter(before).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ndarray::Array3;

    use super::*;

    fn class(value: f32) -> Array3<f32> {
        Array3::from_elem((1, 1, 1), value)
    }

    #[test]
    fn counts_ranks() {
        let mut metric = TopK::new(8).unwrap();
        let falling = Array3::from_shape_fn((8, 1, 1), |(index, _, _)| -(index as f32));
        for label in [0.0, 4.0, 5.0, 0.0, f32::NAN] {
            metric.update(falling.view(), class(label).view()).unwrap();
        }
        let scores = metric.compute().unwrap();
        assert_eq!((scores[0].name, scores[0].value), ("top1", 50.0));
        assert_eq!((scores[1].name, scores[1].value), ("top5", 75.0));
    }

    #[test]
    fn a_constant_prediction_is_no_answer() {
        let mut metric = TopK::new(2).unwrap();
        for label in [0.0, 1.0] {
            metric.update(Array3::zeros((2, 1, 1)).view(), class(label).view()).unwrap();
        }
        let scores = metric.compute().unwrap();
        assert_eq!(scores.len(), 1);
        assert_eq!(scores[0].value, 50.0);
    }

    #[test]
    fn refuses_bad_input() {
        assert!(TopK::new(0).is_err());
        let mut metric = TopK::new(2).unwrap();
        let logits = Array3::zeros((2, 1, 1));
        assert!(metric.update(logits.view(), class(2.0).view()).is_err());
        assert!(metric.update(class(0.0).view(), class(0.0).view()).is_err());
        assert!(metric.update(logits.view(), logits.view()).is_err());
        let nan = Array3::from_elem((2, 1, 1), f32::NAN);
        assert!(metric.update(nan.view(), class(0.0).view()).is_err());
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }
}
