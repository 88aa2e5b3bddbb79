//! Mean average precision of tags, where an image may carry several classes.

use ndarray::ArrayView3;

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{ClassScore, Metric, Score};
use crate::seen::SeenMut;

const NAME: &str = "mean_average_precision";

/// Mean over classes of the average precision of ranking all images by one class.
///
/// # Shapes
/// Prediction `[classes, 1, 1]` holds logits or probabilities; target `[classes, 1, 1]` holds 0
/// or 1, or `NaN` where it is unknown whether the image has this class.
///
/// # Scores
/// - `map` (%): mean over the classes with a positive image of `sum_n (R_n - R_{n-1}) P_n`, with
///   precision and recall after each distinct value from the highest down and no interpolation
#[derive(Debug, Clone)]
pub struct MeanAveragePrecision {
    ranked: Vec<Vec<(f32, bool)>>,
}

impl MeanAveragePrecision {
    /// A metric over `num_classes` tags.
    ///
    /// # Errors
    /// If there are no tags.
    pub fn new(num_classes: usize) -> Result<Self> {
        if num_classes == 0 {
            let (key, expected) = ("num_classes", "at least 1");
            return Err(MetricError::Option { metric: NAME, key, expected, found: "0".into() });
        }
        Ok(Self { ranked: vec![Vec::new(); num_classes] })
    }
}

impl Metric for MeanAveragePrecision {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        let expected = [self.ranked.len(), 1, 1];
        check::shape(NAME, "prediction", &prediction, expected)?;
        check::shape(NAME, "target", &target, expected)?;
        check::prediction(NAME, &prediction, "a logit", |_| true)?;
        check::target(NAME, &target, "0 or 1", |v| v == 0.0 || v == 1.0)?;
        for ((images, &value), &label) in self.ranked.iter_mut().zip(&prediction).zip(&target) {
            if !label.is_nan() {
                images.push((value, label == 1.0));
            }
        }
        Ok(())
    }

    /// # Errors
    /// Also if labels were seen but none of them positive, for then no ranking has a precision.
    fn seen_mut(&mut self) -> SeenMut<'_> {
        SeenMut { lists: self.ranked.iter_mut().collect(), ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        let known: Vec<f64> =
            self.ranked.iter().filter_map(|images| average_precision(images)).collect();
        if known.is_empty() {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        Ok(vec![Score::percent("map", known.iter().sum::<f64>() / known.len() as f64)])
    }

    /// Average precision of each class; none for a class without a positive image.
    fn per_class(&self) -> Vec<ClassScore> {
        let one = |images: &Vec<(f32, bool)>| {
            let value = average_precision(images).map(|share| 100.0 * share);
            ClassScore { metric: "average_precision", value, labelled: value.is_some() }
        };
        self.ranked.iter().map(one).collect()
    }
}

fn average_precision(images: &[(f32, bool)]) -> Option<f64> {
    let positives = images.iter().filter(|image| image.1).count();
    let mut ranked = images.to_vec();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let found = tied.iter().filter(|image| image.1).count();
        seen += tied.len();
        hits += found;
        sum += found as f64 * hits as f64 / seen as f64;
    }
    (positives > 0).then(|| sum / positives as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn averages_over_classes_with_a_positive() {
        let mut metric = MeanAveragePrecision::new(3).unwrap();
        // First tag ranked right, negative, right; second without positives; third unknown once.
        metric
            .update(
                array![[[0.9]], [[0.1]], [[0.4]]].view(),
                array![[[1.0]], [[0.0]], [[1.0]]].view(),
            )
            .unwrap();
        metric
            .update(
                array![[[0.8]], [[0.1]], [[0.5]]].view(),
                array![[[0.0]], [[0.0]], [[f32::NAN]]].view(),
            )
            .unwrap();
        metric
            .update(
                array![[[0.7]], [[0.1]], [[0.3]]].view(),
                array![[[1.0]], [[0.0]], [[0.0]]].view(),
            )
            .unwrap();
        let first = 0.5 * (1.0 + 2.0 / 3.0);
        let per_class: Vec<Option<f64>> =
            metric.per_class().iter().map(|class| class.value).collect();
        assert!((per_class[0].unwrap() - 100.0 * first).abs() < 1e-9);
        assert_eq!(per_class[1..], [None, Some(100.0)]);
        let score = metric.compute().unwrap()[0];
        assert_eq!(score.name, "map");
        assert!((score.value - 50.0 * (first + 1.0)).abs() < 1e-9);
    }

    #[test]
    fn refuses_bad_input() {
        assert!(MeanAveragePrecision::new(0).is_err());
        let mut metric = MeanAveragePrecision::new(1).unwrap();
        let good = Array3::zeros((1, 1, 1));
        assert!(metric.update(good.view(), array![[[2.0]]].view()).is_err());
        assert!(metric.update(array![[[f32::NAN]]].view(), good.view()).is_err());
        assert!(metric.update(Array3::zeros((2, 1, 1)).view(), good.view()).is_err());
        metric.update(good.view(), good.view()).unwrap();
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }

    proptest! {
        /// Recall and precision counted afresh at every distinct value.
        #[test]
        fn agrees_with_counting(images in prop::collection::vec((0u8..6, any::<bool>()), 1..30)) {
            let images: Vec<_> = images.into_iter().map(|(value, label)| (f32::from(value), label)).collect();
            let positives = images.iter().filter(|i| i.1).count();
            let mut expected = 0.0;
            let mut recall = 0.0;
            for step in (0..6).rev() {
                let kept: Vec<_> = images.iter().filter(|i| i.0 >= step as f32).collect();
                let hits = kept.iter().filter(|i| i.1).count() as f64;
                let next = hits / positives.max(1) as f64;
                expected += (next - recall) * hits / kept.len().max(1) as f64;
                recall = next;
            }
            match average_precision(&images) {
                None => prop_assert_eq!(positives, 0),
                Some(found) => prop_assert!((found - expected).abs() < 1e-9),
            }
        }
    }
}
