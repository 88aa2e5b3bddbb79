//! Intersection over union of classes, for semantic segmentation and human parts.
//!
//! Counts are pooled over all images, as in the PASCAL VOC devkit:
//! `IoU_c = TP_c / (TP_c + FP_c + FN_c)`.

use ndarray::{Array2, ArrayView3, Zip};

use crate::Details;
use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{ClassScore, Metric, Score};
use crate::seen::SeenMut;

const NAME: &str = "semseg_iou";

/// Mean intersection over union and pixel accuracy.
///
/// # Shapes
/// Prediction and target are `[1, height, width]` and hold class indices.
///
/// # Scores
/// - `miou` (%): mean over the classes that occur in a target or are predicted on a labelled pixel,
///   as mmsegmentation's `nanmean` and torchmetrics have it: a class that is in neither has 0 / 0
///   and is left out, one that is predicted where it never is counts as 0.
/// - `miou_present` (%): mean over the classes that occur in the targets.
/// - `pixel_accuracy` (%): share of labelled pixels whose class is right.
#[derive(Debug, Clone)]
pub struct SemsegIou {
    confusion: Array2<u64>,
}

impl SemsegIou {
    /// A metric over `num_classes` classes, background included.
    ///
    /// # Errors
    /// If there are no classes.
    pub fn new(num_classes: usize) -> Result<Self> {
        if num_classes == 0 {
            let (key, expected) = ("num_classes", "at least 1");
            return Err(MetricError::Option { metric: NAME, key, expected, found: "0".into() });
        }
        Ok(Self { confusion: Array2::zeros((num_classes, num_classes)) })
    }

    /// Labelled pixels by `[target class, predicted class]`.
    pub fn confusion(&self) -> &Array2<u64> {
        &self.confusion
    }

    fn class_iou(&self, class: usize) -> Option<f64> {
        let hits = self.confusion[[class, class]];
        let union = self.labelled(class) + self.confusion.column(class).sum() - hits;
        (union > 0).then(|| hits as f64 / union as f64)
    }

    fn labelled(&self, class: usize) -> u64 {
        self.confusion.row(class).sum()
    }
}

impl Metric for SemsegIou {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        let num_classes = self.confusion.nrows();
        let expected = format!("a class in 0..{num_classes}");
        check::shapes(NAME, (&prediction, 1), (&target, 1))?;
        check::prediction(NAME, &prediction, &expected, |v| check::is_class(v, num_classes))?;
        check::target(NAME, &target, &expected, |v| check::is_class(v, num_classes))?;
        Zip::from(&prediction).and(&target).for_each(|&predicted, &label| {
            if !label.is_nan() {
                self.confusion[[label as usize, predicted as usize]] += 1;
            }
        });
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        SeenMut { counts: self.confusion.iter_mut().collect(), ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        let total = self.confusion.sum();
        if total == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let classes = 0..self.confusion.nrows();
        let present = classes.clone().filter(|&class| self.labelled(class) > 0).count();
        let known: Vec<f64> = classes.filter_map(|class| self.class_iou(class)).collect();
        // A class absent from the targets has no hits, so both means share one sum.
        let sum: f64 = known.iter().sum();
        Ok(vec![
            Score::percent("miou", sum / known.len() as f64),
            Score::percent("miou_present", sum / present as f64),
            Score::percent("pixel_accuracy", self.confusion.diag().sum() as f64 / total as f64),
        ])
    }

    fn details(&self) -> Details {
        let confusion = self.confusion.rows().into_iter().map(|row| row.to_vec()).collect();
        Details { confusion, ..Details::default() }
    }

    /// Intersection over union of each class.
    fn per_class(&self) -> Vec<ClassScore> {
        let one = |class| ClassScore {
            metric: "iou",
            value: self.class_iou(class).map(|iou| 100.0 * iou),
            labelled: self.labelled(class) > 0,
        };
        (0..self.confusion.nrows()).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};
    use proptest::prelude::*;

    use super::*;

    fn scores(metric: &SemsegIou) -> Vec<f64> {
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    fn classes(metric: &SemsegIou) -> Vec<(Option<f64>, bool)> {
        metric.per_class().iter().map(|class| (class.value, class.labelled)).collect()
    }

    #[test]
    fn a_class_that_never_occurs_is_left_out() {
        let mut metric = SemsegIou::new(3).unwrap();
        let label = array![[[0.0, 1.0, f32::NAN]]];
        metric.update(array![[[0.0, 1.0, 2.0]]].view(), label.view()).unwrap();
        let found = scores(&metric);
        assert_eq!(found, [100.0, 100.0, 100.0]);
        assert_eq!(classes(&metric), [(Some(100.0), true), (Some(100.0), true), (None, false)]);
    }

    #[test]
    fn a_class_only_predicted_has_no_overlap() {
        let mut metric = SemsegIou::new(2).unwrap();
        metric.update(array![[[0.0, 1.0]]].view(), array![[[0.0, 0.0]]].view()).unwrap();
        assert_eq!(scores(&metric), [25.0, 50.0, 50.0]);
        assert_eq!(classes(&metric), [(Some(50.0), true), (Some(0.0), false)]);
    }

    #[test]
    fn refuses_bad_input_and_stays_as_it_was() {
        assert!(SemsegIou::new(0).is_err());
        let mut metric = SemsegIou::new(2).unwrap();
        let good = array![[[0.0, 1.0]]];
        for (bad, message) in [
            (2.0, "expected a class in 0..2, found 2"),
            (0.5, "expected a class in 0..2, found 0.5"),
            (-1.0, "expected a class in 0..2, found -1"),
            (f32::INFINITY, "found inf"),
        ] {
            let bad = array![[[0.0, bad]]];
            let error = metric.update(bad.view(), good.view()).unwrap_err().to_string();
            assert!(error.starts_with("semseg_iou: prediction at [0, 0, 1]"), "{error}");
            assert!(error.ends_with(message), "{error}");
            let error = metric.update(good.view(), bad.view()).unwrap_err().to_string();
            assert!(error.starts_with("semseg_iou: target at [0, 0, 1]"), "{error}");
        }
        let error = metric.update(good.view(), array![[[0.0]]].view()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "semseg_iou: target: expected shape [1, 1, 2], found [1, 1, 1]"
        );
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }

    proptest! {
        #[test]
        fn agrees_with_sets(pairs in prop::collection::vec((0u8..4, 0u8..5), 1..60)) {
            let prediction = Array3::from_shape_fn((1, 1, pairs.len()), |at| f32::from(pairs[at.2].0));
            let target = Array3::from_shape_fn((1, 1, pairs.len()), |at| match pairs[at.2].1 {
                4 => f32::NAN,
                class => f32::from(class),
            });
            let mut metric = SemsegIou::new(4).unwrap();
            metric.update(prediction.view(), target.view()).unwrap();
            let labelled: Vec<_> = pairs.iter().filter(|pair| pair.1 < 4).collect();
            prop_assume!(!labelled.is_empty());
            let expected = (0..4).map(|class| {
                let both = labelled.iter().filter(|p| p.0 == class && p.1 == class).count();
                let either = labelled.iter().filter(|p| p.0 == class || p.1 == class).count();
                (both as f64, either)
            }).filter(|(_, either)| *either > 0).map(|(both, either)| both / either as f64);
            let expected: Vec<f64> = expected.collect();
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            prop_assert!((scores(&metric)[0] - 100.0 * mean).abs() < 1e-9);
        }
    }
}
