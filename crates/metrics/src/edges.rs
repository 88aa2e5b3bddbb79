//! F-measure of boundaries after the Berkeley protocol (Martin et al. 2004; Arbeláez et al. 2011),
//! natively and without the benchmark's MATLAB program.
//!
//! One image is measured in these steps:
//! 1. Non-maximum suppression leaves the crest of the soft map (`suppress`).
//! 2. For each threshold `k / (num_thresholds + 1)`, pixels at or above it are thinned to lines
//!    one pixel wide (`thin`).
//! 3. The lines are matched one to one with each annotator's, no pair farther apart than
//!    `max_dist` times the image diagonal (`matching`). The assignment is an exact maximum; the
//!    benchmark's approximates the cheapest maximum, so single pixels may differ.
//! 4. A predicted pixel is right if *any* annotator's matching uses it; recall is summed over
//!    annotators.
//!
//! Targets are taken as they are: lines in them should be one pixel wide, as every surplus pixel
//! costs recall. The benchmark's habit to suppress the five pixels next to the image border is
//! not followed, since maps here may be small.

mod curve;
mod matching;
mod suppress;
mod thin;

use ndarray::{ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};
use crate::seen::SeenMut;
use crate::{Details, PrecisionRecall};
use curve::Counts;
use matching::Matcher;

const NAME: &str = "edges";

/// How finely and how strictly [`Edges`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgesConfig {
    /// Number of thresholds, evenly spaced inside (0, 1); the benchmark has 99, while 20 are enough
    /// to follow a training run.
    pub num_thresholds: usize,
    /// Largest distance of a matched pair as a share of the image diagonal, in (0, 1); 0.0075 for
    /// BSDS500 and PASCAL-Context, 0.011 for NYUD-v2.
    pub max_dist: f64,
}

impl Default for EdgesConfig {
    /// The values of the BSDS500 benchmark.
    fn default() -> Self {
        Self { num_thresholds: 99, max_dist: 0.0075 }
    }
}

/// Boundary F-measure with one threshold for the set (ODS) and one for each image (OIS).
///
/// # Shapes
/// Prediction `[1, height, width]` holds probabilities. Target `[annotators, height, width]` holds
/// 0 or 1; the number of annotators may change from image to image, and a channel that is `NaN`
/// throughout is no annotator. Predicted pixels that no annotator labelled do not count.
///
/// # Scores
/// With precision `P` and recall `R` from counts pooled over all images and `F = 2PR / (P + R)`:
/// - `ods_f` (%): highest `F`, interpolated linearly between neighbouring thresholds
/// - `ois_f` (%): `F` of the counts that each image has at its own best threshold
/// - `ap` (%): mean of the precision, interpolated linearly, at recall 0.01, 0.02, ..., 1.00. Recall
///   that lies outside of what the thresholds give counts as precision 0, so this is meaningful
///   for soft maps only.
#[derive(Debug, Clone)]
pub struct Edges {
    config: EdgesConfig,
    images: u64,
    per_threshold: Vec<Counts>,
    best_per_image: Counts,
}

impl Edges {
    /// A metric that has seen nothing.
    ///
    /// # Errors
    /// If there are no thresholds, or `max_dist` is not inside (0, 1).
    pub fn new(config: EdgesConfig) -> Result<Self> {
        let refuse =
            |key, expected, found| Err(MetricError::Option { metric: NAME, key, expected, found });
        if config.num_thresholds == 0 {
            return refuse("num_thresholds", "at least 1", "0".into());
        }
        if !(config.max_dist > 0.0 && config.max_dist < 1.0) {
            return refuse("max_dist", "a share inside (0, 1)", config.max_dist.to_string());
        }
        let per_threshold = vec![Counts::default(); config.num_thresholds];
        Ok(Self { config, images: 0, per_threshold, best_per_image: Counts::default() })
    }

    /// Counts of one image at each threshold.
    fn measure(&self, crest: ArrayView2<f32>, annotators: &Annotators) -> Vec<Counts> {
        let (height, width) = crest.dim();
        let radius = self.config.max_dist * (height as f64).hypot(width as f64);
        let matcher = Matcher::new((height, width), radius, &annotators.lines);
        let steps = self.config.num_thresholds + 1;
        (1..steps)
            .into_par_iter()
            .map(|step| {
                let threshold = (step as f64 / steps as f64) as f32;
                let mut lines = thin::thin(crest.mapv(|value| value >= threshold).view());
                lines.retain(|&(y, x)| annotators.labelled[y * width + x]);
                matcher.count(&lines)
            })
            .collect()
    }
}

impl Metric for Edges {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        check::shapes(NAME, (&prediction, 1), (&target, target.dim().0))?;
        check::prediction(NAME, &prediction, "a probability", |v| (0.0..=1.0).contains(&v))?;
        check::target(NAME, &target, "0 or 1", |v| v == 0.0 || v == 1.0)?;
        let annotators = Annotators::of(target);
        if annotators.lines.is_empty() {
            return Ok(());
        }
        let crest = suppress::suppress(prediction.index_axis(Axis(0), 0));
        let counts = self.measure(crest.view(), &annotators);
        self.images += 1;
        self.best_per_image.add(curve::best(&counts));
        for (total, counts) in self.per_threshold.iter_mut().zip(counts) {
            total.add(counts);
        }
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        let Self { images, per_threshold, best_per_image, .. } = self;
        let all = per_threshold.iter_mut().chain([best_per_image]);
        let counts = all.flat_map(Counts::numbers_mut).chain([images]).collect();
        SeenMut { counts, ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.images == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        Ok(vec![
            Score::percent("ods_f", curve::highest_f(&self.per_threshold)),
            Score::percent("ois_f", self.best_per_image.f_measure()),
            Score::percent("ap", curve::average_precision(&self.per_threshold)),
        ])
    }

    /// Precision and recall at every threshold.
    fn details(&self) -> Details {
        let steps = (self.config.num_thresholds + 1) as f64;
        let point = |(step, counts): (usize, &Counts)| PrecisionRecall {
            threshold: step as f64 / steps,
            precision: counts.precision(),
            recall: counts.recall(),
        };
        let precision_recall = (1..).zip(&self.per_threshold).map(point).collect();
        Details { precision_recall, ..Details::default() }
    }
}

/// What the annotators of one image drew.
struct Annotators {
    /// Row and column of each line pixel, for each annotator who labelled anything.
    lines: Vec<Vec<(usize, usize)>>,
    /// In row order, whether any annotator labelled the pixel.
    labelled: Vec<bool>,
}

impl Annotators {
    fn of(target: ArrayView3<f32>) -> Self {
        let (_, height, width) = target.dim();
        let mut all = Self { lines: Vec::new(), labelled: vec![false; height * width] };
        for map in target.axis_iter(Axis(0)) {
            if map.iter().all(|value| value.is_nan()) {
                continue;
            }
            let line = map.indexed_iter().filter(|&(_, &value)| value == 1.0).map(|(at, _)| at);
            all.lines.push(line.collect());
            for (labelled, value) in all.labelled.iter_mut().zip(map) {
                *labelled |= !value.is_nan();
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array, concatenate};

    use super::*;

    fn scores(config: EdgesConfig, images: &[(Array3<f32>, Array3<f32>)]) -> Vec<f64> {
        let mut metric = Edges::new(config).unwrap();
        for (prediction, target) in images {
            metric.update(prediction.view(), target.view()).unwrap();
        }
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    /// A vertical line in a map of 30 x 40 pixels, whose diagonal is 50 pixels.
    fn line(column: usize, value: f32) -> Array3<f32> {
        Array3::from_shape_fn((1, 30, 40), |(_, _, x)| if x == column { value } else { 0.0 })
    }

    fn coarse(max_dist: f64) -> EdgesConfig {
        EdgesConfig { num_thresholds: 9, max_dist }
    }

    #[test]
    fn a_perfect_map_scores_hundred() {
        let image = (line(10, 1.0), line(10, 1.0));
        let found = scores(EdgesConfig::default(), &[image]);
        assert_eq!(found[..2], [100.0, 100.0]);
    }

    #[test]
    fn a_soft_map_that_ranks_right_has_full_average_precision() {
        let soft = Array3::from_shape_fn((1, 100, 40), |(_, y, x)| {
            if x == 10 { 0.995 - 0.01 * y as f32 } else { 0.0 }
        });
        let truth = soft.mapv(|v| if v > 0.0 { 1.0 } else { 0.0 });
        let found = scores(EdgesConfig::default(), &[(soft, truth)]);
        assert!(found[2] > 97.0 && found[2] <= 100.0, "{found:?}");
    }

    #[test]
    fn the_radius_is_a_share_of_the_diagonal() {
        let image = (line(12, 1.0), line(10, 1.0));
        assert_eq!(scores(coarse(0.0401), std::slice::from_ref(&image))[0], 100.0);
        assert_eq!(scores(coarse(0.0399), &[image])[0], 0.0);
    }

    #[test]
    fn precision_asks_any_annotator_and_recall_asks_all() {
        let missing = line(0, f32::NAN).mapv(|_| f32::NAN);
        let views = [line(10, 1.0), line(30, 1.0), missing];
        let target = concatenate(Axis(0), &views.each_ref().map(Array3::view)).unwrap();
        // Both lines are right for someone, and each annotator finds one of them.
        let both = line(10, 1.0) + line(30, 1.0);
        assert_eq!(scores(coarse(0.01), &[(both, target.clone())])[0], 100.0);
        // One line: precision 1, recall 1/2. A wrong one beside it: precision 1/2, recall 1/2.
        let found = scores(coarse(0.01), &[(line(10, 1.0), target.clone())]);
        assert!((found[0] - 200.0 / 3.0).abs() < 1e-9, "{found:?}");
        let found = scores(coarse(0.01), &[(line(10, 1.0) + line(20, 1.0), target)]);
        assert!((found[0] - 50.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn one_threshold_for_the_set_or_one_for_each_image() {
        // A strong right line beside a weak wrong one, and a weak right line alone.
        let first = (line(10, 0.85) + line(30, 0.35), line(10, 1.0));
        let second = (line(10, 0.35), line(10, 1.0));
        let found = scores(coarse(0.01), &[first, second]);
        assert_eq!(found[1], 100.0);
        // Recall 1 and precision 2/3 up to 0.3, recall 1/2 and precision 1 above; the best F on the
        // line between them is a fifth of the way, at recall 0.9 and precision 11/15.
        let expected = 100.0 * 2.0 * 0.9 * (11.0 / 15.0) / (0.9 + 11.0 / 15.0);
        assert!((found[0] - expected).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn what_nobody_labelled_does_not_count() {
        let mut target = line(10, 1.0);
        target.slice_mut(ndarray::s![.., .., 20..]).fill(f32::NAN);
        let found = scores(coarse(0.01), &[(line(10, 1.0) + line(30, 1.0), target)]);
        assert_eq!(found[0], 100.0);
    }

    #[test]
    fn thick_predictions_are_thinned() {
        let thick = (8..13).fold(Array3::zeros((1, 30, 40)), |sum, x| sum + line(x, 1.0));
        let found = scores(coarse(0.05), &[(thick, line(10, 1.0))]);
        assert!(found[0] > 90.0, "{found:?}");
    }

    #[test]
    fn refuses_bad_input() {
        let bad = Edges::new(coarse(0.0)).unwrap_err().to_string();
        assert_eq!(bad, "edges: max_dist: expected a share inside (0, 1), found 0");
        assert!(Edges::new(EdgesConfig { num_thresholds: 0, ..coarse(0.1) }).is_err());
        let mut metric = Edges::new(coarse(0.1)).unwrap();
        let good = array![[[1.0, 0.0]]];
        assert!(metric.update(array![[[2.0, 0.0]]].view(), good.view()).is_err());
        assert!(metric.update(good.view(), array![[[2.0, 0.0]]].view()).is_err());
        assert!(metric.update(good.view(), array![[[1.0]]].view()).is_err());
        let unlabelled = array![[[f32::NAN, f32::NAN]]];
        metric.update(good.view(), unlabelled.view()).unwrap();
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }
}
