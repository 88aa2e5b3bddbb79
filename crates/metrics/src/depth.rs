//! Errors of a depth map, pooled over all labelled pixels of a set (Eigen et al. 2014, section 4).

use ndarray::{ArrayView3, Zip};

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};
use crate::seen::SeenMut;
use crate::{Details, ErrorHistogram, ExactSum};

const NAME: &str = "depth";

/// Predictions below this are raised to it, so that ratio and logarithm exist.
const MIN_DEPTH: f64 = 1e-9;

/// Root mean square error and its companions.
///
/// # Shapes
/// Prediction and target are `[1, height, width]` in metres; targets are positive.
///
/// # Scores
/// With prediction `z`, raised to at least 1e-9, and target `y`:
/// - `rmse_m` (m): `sqrt(mean((z - y)²))`
/// - `log_rmse`: `sqrt(mean((ln z - ln y)²))`
/// - `abs_rel`: `mean(|z - y| / y)`
/// - `delta_1_25` (%): share of pixels with `max(z / y, y / z) < 1.25`
#[derive(Debug, Clone)]
pub struct Depth {
    pixels: u64,
    squared: ExactSum,
    log_squared: ExactSum,
    relative: ExactSum,
    within: u64,
    /// Pixels by the size of `|z - y|`.
    histogram: [u64; BINS],
}

/// Bins of errors: twelve of every decade from a tenth of a millimetre to a kilometre.
const BINS_PER_DECADE: f64 = 12.0;
const SMALLEST: f64 = 1e-4;
const BINS: usize = 7 * BINS_PER_DECADE as usize;

/// Sums over the pixels of one image.
#[derive(Debug, Default)]
struct Sums {
    squared: f64,
    log_squared: f64,
    relative: f64,
}

impl Default for Depth {
    fn default() -> Self {
        let histogram = [0; BINS];
        let [squared, log_squared, relative] = [(); 3].map(|()| ExactSum::default());
        Self { pixels: 0, squared, log_squared, relative, within: 0, histogram }
    }
}

impl Depth {
    /// A metric that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, predicted: f64, label: f64, image: &mut Sums) {
        let predicted = predicted.max(MIN_DEPTH);
        self.pixels += 1;
        image.squared += (predicted - label).powi(2);
        image.log_squared += (predicted / label).ln().powi(2);
        image.relative += (predicted - label).abs() / label;
        let decades = ((predicted - label).abs() / SMALLEST).log10();
        // Errors of 0 are in the first bin: their logarithm is below all others.
        let bin = (decades * BINS_PER_DECADE).max(0.0) as usize;
        self.histogram[bin.min(BINS - 1)] += 1;
        self.within += u64::from((predicted / label).max(label / predicted) < 1.25);
    }
}

impl Metric for Depth {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        check::shapes(NAME, (&prediction, 1), (&target, 1))?;
        check::prediction(NAME, &prediction, "a depth", |_| true)?;
        check::target(NAME, &target, "a positive depth", |depth| depth > 0.0)?;
        let mut image = Sums::default();
        Zip::from(&prediction).and(&target).for_each(|&predicted, &label| {
            if !label.is_nan() {
                self.add(predicted.into(), label.into(), &mut image);
            }
        });
        self.squared.add(image.squared);
        self.log_squared.add(image.log_squared);
        self.relative.add(image.relative);
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        let Self { pixels, squared, log_squared, relative, within, histogram } = self;
        let counts = histogram.iter_mut().chain([pixels, within]).collect();
        SeenMut { counts, sums: vec![squared, log_squared, relative], ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.pixels == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let pixels = self.pixels as f64;
        Ok(vec![
            Score::error("rmse_m", (self.squared.value() / pixels).sqrt(), "m"),
            Score::error("log_rmse", (self.log_squared.value() / pixels).sqrt(), ""),
            Score::error("abs_rel", self.relative.value() / pixels, ""),
            Score::percent("delta_1_25", self.within as f64 / pixels),
        ])
    }

    /// Sizes of `|z - y|`.
    fn details(&self) -> Details {
        let edge = |bin: usize| SMALLEST * 10f64.powf(bin as f64 / BINS_PER_DECADE);
        let (edges, counts) = ((0..=BINS).map(edge).collect(), self.histogram.to_vec());
        let errors = Some(ErrorHistogram { unit: "m", edges, counts });
        Details { errors, ..Details::default() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn scores(metric: &Depth) -> Vec<f64> {
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    #[test]
    fn follows_the_formulas_over_two_images() {
        let mut metric = Depth::new();
        metric.update(array![[[2.0, 9.0]]].view(), array![[[1.0, f32::NAN]]].view()).unwrap();
        metric.update(array![[[4.0]]].view(), array![[[4.0]]].view()).unwrap();
        let found = scores(&metric);
        let expected = [0.5f64.sqrt(), 2f64.ln() * 0.5f64.sqrt(), 0.5, 50.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn sizes_of_errors_are_counted_in_bins() {
        let mut metric = Depth::new();
        let target = array![[[1.0, 1.0, 2.0]]];
        metric.update(array![[[1.0, 1.5, 3000.0]]].view(), target.view()).unwrap();
        let errors = metric.details().errors.unwrap();
        let filled: Vec<usize> = (0..BINS).filter(|&bin| errors.counts[bin] == 1).collect();
        assert_eq!((filled.len(), filled[0], filled[2]), (3, 0, BINS - 1));
        let [low, high] = [0, 1].map(|end| errors.edges[filled[1] + end]);
        assert!(low <= 0.5 && 0.5 < high && errors.edges.len() == BINS + 1, "{low} {high}");
    }

    #[test]
    fn a_prediction_behind_the_camera_is_raised() {
        let mut metric = Depth::new();
        metric.update(array![[[-3.0]]].view(), array![[[1.0]]].view()).unwrap();
        let found = scores(&metric);
        assert!((found[0] - 1.0).abs() < 1e-6);
        assert!((found[1] - 9.0 * 10f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn refuses_bad_input() {
        let mut metric = Depth::new();
        let good = array![[[1.0]]];
        let error = metric.update(good.view(), array![[[0.0]]].view()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "depth: target at [0, 0, 0]: expected a positive depth, found 0"
        );
        assert!(metric.update(good.view(), array![[[f32::INFINITY]]].view()).is_err());
        let error = metric.update(array![[[f32::NAN]]].view(), good.view()).unwrap_err();
        assert!(matches!(error, MetricError::NonFinite { at: [0, 0, 0], .. }));
        assert!(metric.update(array![[[1.0]], [[1.0]]].view(), good.view()).is_err());
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }
}
