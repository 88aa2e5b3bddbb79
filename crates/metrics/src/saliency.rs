//! Overlap and F-measure of a saliency map over a sweep of thresholds.
//!
//! The official MTLoRA code squashes probabilities a second time before the pooled F-measure;
//! here thresholds apply to the probabilities as given.

use ndarray::ArrayView3;

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};
use crate::seen::SeenMut;
use crate::{Details, ExactSum, PrecisionRecall};

const NAME: &str = "saliency";
/// Keeps precision and recall defined where a map is empty.
const EPSILON: f64 = 1e-12;
/// Weight of precision against recall (Achanta et al. 2009, equation 6).
const BETA_SQUARED: f64 = 0.3;

/// Intersection over union and F-measures of the salient foreground.
///
/// # Shapes
/// Prediction `[1, height, width]` holds probabilities; target `[1, height, width]` holds 0 or 1.
///
/// # Scores
/// - `miou` (%): foreground `IoU` of each image at each of 15 thresholds 0.20, 0.25, ..., 0.90
///   (foreground where the probability is greater; 1 if both are empty), averaged over images,
///   best threshold.
/// - `max_f` (%): `2PR / (P + R)` of precision and recall averaged over images, best of the same
///   thresholds.
/// - `beta_max_f` (%): `1.3 PR / (0.3 P + R)` of precision and recall from counts pooled over all
///   images, best of 19 thresholds 0.05, 0.10, ..., 0.95 (foreground where the probability is at
///   least the threshold).
#[derive(Debug, Clone, Default)]
pub struct Saliency {
    images: u64,
    per_image: [Means; 15],
    pooled: [Counts; 19],
}

#[derive(Debug, Clone, Default)]
struct Means {
    iou: ExactSum,
    precision: ExactSum,
    recall: ExactSum,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hits: u64,
    predicted: u64,
    labelled: u64,
}

impl Saliency {
    /// A metric that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Metric for Saliency {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        check::shapes(NAME, (&prediction, 1), (&target, 1))?;
        check::prediction(NAME, &prediction, "a probability", |v| (0.0..=1.0).contains(&v))?;
        check::target(NAME, &target, "0 or 1", |v| v == 0.0 || v == 1.0)?;
        let pixels: Vec<(f32, bool)> = prediction
            .iter()
            .zip(&target)
            .filter(|(_, label)| !label.is_nan())
            .map(|(&predicted, &label)| (predicted, label == 1.0))
            .collect();
        if pixels.is_empty() {
            return Ok(());
        }
        self.images += 1;
        for (index, means) in self.per_image.iter_mut().enumerate() {
            let threshold = twentieths(index + 4);
            means.add(Counts::of(&pixels, |predicted| predicted > threshold));
        }
        for (index, pooled) in self.pooled.iter_mut().enumerate() {
            let threshold = twentieths(index + 1);
            pooled.add(Counts::of(&pixels, |predicted| predicted >= threshold));
        }
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        let Self { images, per_image, pooled } = self;
        let counts =
            pooled.iter_mut().flat_map(|c| [&mut c.hits, &mut c.predicted, &mut c.labelled]);
        let sums = per_image.iter_mut().flat_map(|m| [&mut m.iou, &mut m.precision, &mut m.recall]);
        let (counts, sums) = (counts.chain([images]).collect(), sums.collect());
        SeenMut { counts, sums, ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.images == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let images = self.images as f64;
        let miou = max(self.per_image.iter().map(|means| means.iou.value() / images));
        let max_f = max(self.per_image.iter().map(|means| {
            f_measure(means.precision.value() / images, means.recall.value() / images, 1.0)
        }));
        let beta_max_f = max(self
            .pooled
            .iter()
            .map(|counts| f_measure(counts.precision(), counts.recall(), BETA_SQUARED)));
        Ok(vec![
            Score::percent("miou", miou),
            Score::percent("max_f", max_f),
            Score::percent("beta_max_f", beta_max_f),
        ])
    }

    /// Precision and recall of counts pooled over all images.
    fn details(&self) -> Details {
        let point = |(index, counts): (usize, &Counts)| PrecisionRecall {
            threshold: f64::from(twentieths(index)),
            precision: counts.precision(),
            recall: counts.recall(),
        };
        let precision_recall = (1..).zip(&self.pooled).map(point).collect();
        Details { precision_recall, ..Details::default() }
    }
}

impl Means {
    fn add(&mut self, counts: Counts) {
        self.iou.add(counts.iou());
        self.precision.add(counts.precision());
        self.recall.add(counts.recall());
    }
}

impl Counts {
    fn of(pixels: &[(f32, bool)], foreground: impl Fn(f32) -> bool) -> Self {
        let mut counts = Self::default();
        for &(predicted, label) in pixels {
            let predicted = foreground(predicted);
            counts.hits += u64::from(predicted && label);
            counts.predicted += u64::from(predicted);
            counts.labelled += u64::from(label);
        }
        counts
    }

    fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.predicted += other.predicted;
        self.labelled += other.labelled;
    }

    fn iou(&self) -> f64 {
        match self.predicted + self.labelled - self.hits {
            0 => 1.0,
            union => self.hits as f64 / union as f64,
        }
    }

    fn precision(&self) -> f64 {
        self.hits as f64 / (self.predicted as f64 + EPSILON)
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / (self.labelled as f64 + EPSILON)
    }
}

fn twentieths(index: usize) -> f32 {
    index as f32 / 20.0
}

fn f_measure(precision: f64, recall: f64, beta_squared: f64) -> f64 {
    (1.0 + beta_squared) * precision * recall / (beta_squared * precision + recall + EPSILON)
}

fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn scores(metric: &Saliency) -> Vec<f64> {
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-8),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn a_perfect_map_scores_hundred() {
        let mut metric = Saliency::new();
        let map = array![[[0.0, 1.0, 1.0]]];
        metric.update(map.view(), map.view()).unwrap();
        assert_close(&scores(&metric), &[100.0; 3]);
    }

    #[test]
    fn thresholds_are_strict_for_overlap_and_inclusive_for_pooled_counts() {
        let mut metric = Saliency::new();
        metric.update(array![[[0.2, 0.0]]].view(), array![[[1.0, 0.0]]].view()).unwrap();
        assert_close(&scores(&metric), &[0.0, 0.0, 100.0]);
    }

    #[test]
    fn one_threshold_serves_all_images() {
        let mut metric = Saliency::new();
        // Right above 0.5 in the first image and below 0.5 in the second.
        metric.update(array![[[0.9, 0.5]]].view(), array![[[1.0, 0.0]]].view()).unwrap();
        metric
            .update(array![[[0.5, 0.1, 0.1]]].view(), array![[[1.0, 0.0, f32::NAN]]].view())
            .unwrap();
        // At 0.45: IoU 1/2 and 1, precision 1/2 and 1, recall 1 and 1; pooled precision 2/3.
        let f = 2.0 * 0.75 / 1.75;
        let beta = 1.3 * (2.0 / 3.0) / (0.3 * (2.0 / 3.0) + 1.0);
        let pooled_above = 1.3 * 0.5 / (0.3 + 0.5);
        assert_close(&scores(&metric), &[75.0, 100.0 * f, 100.0 * f64::max(beta, pooled_above)]);
    }

    #[test]
    fn an_empty_image_left_empty_is_right() {
        let mut metric = Saliency::new();
        metric.update(array![[[0.0]]].view(), array![[[0.0]]].view()).unwrap();
        assert_close(&scores(&metric), &[100.0, 0.0, 0.0]);
    }

    #[test]
    fn refuses_bad_input() {
        let mut metric = Saliency::new();
        let good = array![[[1.0]]];
        let error = metric.update(array![[[1.5]]].view(), good.view()).unwrap_err().to_string();
        assert_eq!(error, "saliency: prediction at [0, 0, 0]: expected a probability, found 1.5");
        let error = metric.update(good.view(), array![[[255.0]]].view()).unwrap_err().to_string();
        assert_eq!(error, "saliency: target at [0, 0, 0]: expected 0 or 1, found 255");
        assert!(metric.update(good.view(), array![[[1.0, 0.0]]].view()).is_err());
        metric.update(good.view(), array![[[f32::NAN]]].view()).unwrap();
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }
}
