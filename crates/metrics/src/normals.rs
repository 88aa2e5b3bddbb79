//! Angles between predicted and true surface normals, pooled over all labelled pixels.
//!
//! The official MTLoRA code, and papers that quote it, print the mean angle under the name
//! "rmse"; here both exist under their own names and the mean is the headline.

use ndarray::{ArrayView1, ArrayView3, Axis};

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};
use crate::seen::SeenMut;
use crate::{Details, ErrorHistogram, ExactSum};

const NAME: &str = "normals";

/// Angles are kept in a histogram, since a validation set has about a thousand million of them.
const BINS_PER_DEGREE: f64 = 1000.0;
const NUM_BINS: usize = 180 * BINS_PER_DEGREE as usize + 1;

/// Angular error of surface normals.
///
/// # Shapes
/// Prediction and target are `[3, height, width]`. Both are scaled to unit length here; a
/// prediction of length zero counts as 90 degrees off, a target of length zero is refused.
/// A pixel is labelled if none of its three channels is `NaN`.
///
/// # Scores
/// With the angle `2 atan2(|z - y|, |z + y|)` of the unit vectors `z`, `y`, which stays exact near
/// zero where the arc cosine does not:
/// - `mean_angle_deg` (deg)
/// - `median_angle_deg` (deg): the lower median, to within 0.0005 degrees
/// - `rmse_angle_deg` (deg): `sqrt(mean(angle²))`
/// - `within_11_25`, `within_22_5`, `within_30` (%): share of pixels with a smaller angle
#[derive(Debug, Clone)]
pub struct Normals {
    pixels: u64,
    sum: ExactSum,
    squared: ExactSum,
    within: [u64; 3],
    histogram: Vec<u64>,
}

const LIMITS: [(&str, f64); 3] =
    [("within_11_25", 11.25), ("within_22_5", 22.5), ("within_30", 30.0)];

impl Default for Normals {
    fn default() -> Self {
        let (sum, squared) = (ExactSum::default(), ExactSum::default());
        Self { pixels: 0, sum, squared, within: [0; 3], histogram: vec![0; NUM_BINS] }
    }
}

impl Normals {
    /// A metric that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, angle: f64) {
        self.pixels += 1;
        for (count, (_, limit)) in self.within.iter_mut().zip(LIMITS) {
            *count += u64::from(angle < limit);
        }
        self.histogram[(angle * BINS_PER_DEGREE) as usize] += 1;
    }

    fn median(&self) -> f64 {
        let mut left = self.pixels.div_ceil(2);
        let bin = self.histogram.iter().position(|&count| {
            let found = left <= count;
            left = left.saturating_sub(count);
            found
        });
        (bin.unwrap_or_default() as f64 + 0.5) / BINS_PER_DEGREE
    }
}

impl Metric for Normals {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        check::shapes(NAME, (&prediction, 3), (&target, 3))?;
        check::prediction(NAME, &prediction, "a component", |_| true)?;
        check::target(NAME, &target, "a finite component", |_| true)?;
        let labels = unit_targets(&target)?;
        let (mut sum, mut squared) = (0.0, 0.0);
        for (predicted, label) in prediction.lanes(Axis(0)).into_iter().zip(labels) {
            if let Some(label) = label {
                let angle = angle_deg(unit(predicted).unwrap_or_default(), label);
                self.add(angle);
                sum += angle;
                squared += angle * angle;
            }
        }
        self.sum.add(sum);
        self.squared.add(squared);
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        let Self { pixels, sum, squared, within, histogram } = self;
        let counts = histogram.iter_mut().chain(within).chain([pixels]).collect();
        SeenMut { counts, sums: vec![sum, squared], ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.pixels == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let pixels = self.pixels as f64;
        let mut scores = vec![
            Score::error("mean_angle_deg", self.sum.value() / pixels, "deg"),
            Score::error("median_angle_deg", self.median(), "deg"),
            Score::error("rmse_angle_deg", (self.squared.value() / pixels).sqrt(), "deg"),
        ];
        scores.extend(
            LIMITS
                .iter()
                .zip(self.within)
                .map(|(&(name, _), count)| Score::percent(name, count as f64 / pixels)),
        );
        Ok(scores)
    }

    /// Angles by whole degrees.
    fn details(&self) -> Details {
        let whole = self.histogram.chunks(BINS_PER_DEGREE as usize);
        let mut counts: Vec<u64> = whole.map(|degree| degree.iter().sum()).collect();
        // The last bin holds 180 degrees alone.
        let opposite = counts.pop().unwrap_or_default();
        counts.iter_mut().last().into_iter().for_each(|last| *last += opposite);
        let edges = (0..=counts.len()).map(|degree| degree as f64).collect();
        let errors = Some(ErrorHistogram { unit: "deg", edges, counts });
        Details { errors, ..Details::default() }
    }
}

/// Target normals in row order, `None` where unlabelled.
fn unit_targets(target: &ArrayView3<f32>) -> Result<Vec<Option<[f64; 3]>>> {
    let width = target.dim().2;
    let lanes = target.lanes(Axis(0));
    lanes
        .into_iter()
        .enumerate()
        .map(|(index, lane)| {
            if lane.iter().any(|value| value.is_nan()) {
                return Ok(None);
            }
            let at = [0, index / width, index % width];
            let empty = || check::out_of_range(NAME, "target", at, "a vector longer than 0", 0.0);
            unit(lane).ok_or_else(empty).map(Some)
        })
        .collect()
}

fn unit(vector: ArrayView1<f32>) -> Option<[f64; 3]> {
    let vector = [0, 1, 2].map(|axis| f64::from(vector[axis]));
    let length = norm(vector);
    (length > 0.0).then(|| vector.map(|value| value / length))
}

fn angle_deg(a: [f64; 3], b: [f64; 3]) -> f64 {
    let difference = [0, 1, 2].map(|axis| a[axis] - b[axis]);
    let sum = [0, 1, 2].map(|axis| a[axis] + b[axis]);
    (2.0 * norm(difference).atan2(norm(sum))).to_degrees()
}

fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};
    use proptest::prelude::*;

    use super::*;

    fn scores(prediction: &Array3<f32>, target: &Array3<f32>) -> Vec<f64> {
        let mut metric = Normals::new();
        metric.update(prediction.view(), target.view()).unwrap();
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    #[test]
    fn same_opposite_orthogonal_and_missing_directions() {
        let target = array![[[1.0, 0.0]], [[2.0, 0.0]], [[2.0, f32::NAN]]];
        let same = scores(&(&target.mapv(|v| if v.is_nan() { 1.0 } else { v }) * 0.1), &target);
        assert!(same[0] < 1e-5 && same[2] < 1e-5, "{same:?}");
        assert_eq!(same[3..], [100.0; 3]);
        let opposite = scores(&array![[[-1.0, 1.0]], [[-2.0, 1.0]], [[-2.0, 1.0]]], &target);
        assert!((opposite[0] - 180.0).abs() < 1e-5, "{opposite:?}");
        let nothing = scores(&Array3::zeros((3, 1, 2)), &target);
        assert!((nothing[0] - 90.0).abs() < 1e-9, "{nothing:?}");
    }

    #[test]
    fn the_median_is_the_lower_one() {
        let angles = [10.0f32, 20.0, 30.0, 100.0].map(f32::to_radians);
        let prediction = Array3::from_shape_fn((3, 1, 4), |(axis, _, x)| {
            [angles[x].sin(), 0.0, angles[x].cos()][axis]
        });
        let target = Array3::from_shape_fn((3, 1, 4), |(axis, _, _)| [0.0, 0.0, 1.0][axis]);
        let found = scores(&prediction, &target);
        assert!((found[0] - 40.0).abs() < 1e-5, "{found:?}");
        assert!((found[1] - 20.0).abs() < 1e-3, "{found:?}");
        let mut metric = Normals::new();
        metric.update(prediction.view(), target.view()).unwrap();
        let errors = metric.details().errors.unwrap();
        assert_eq!((errors.edges.len(), errors.counts.iter().sum::<u64>()), (181, 4));
        assert_eq!(errors.counts[99] + errors.counts[100], 1);
        assert!((found[2] - 2850f64.sqrt()).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn refuses_bad_input() {
        let mut metric = Normals::new();
        let zero = Array3::zeros((3, 1, 2));
        let error = metric.update(zero.view(), zero.view()).unwrap_err().to_string();
        assert_eq!(error, "normals: target at [0, 0, 0]: expected a vector longer than 0, found 0");
        assert!(metric.update(Array3::zeros((1, 1, 2)).view(), zero.view()).is_err());
        let nan = Array3::from_elem((3, 1, 2), f32::NAN);
        assert!(metric.update(nan.view(), zero.view()).is_err());
        metric.update(zero.view(), nan.view()).unwrap();
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }

    proptest! {
        #[test]
        fn angle_equals_the_arc_cosine(a in prop::array::uniform3(-1f64..1.0), b in prop::array::uniform3(-1f64..1.0)) {
            prop_assume!(norm(a) > 0.1 && norm(b) > 0.1);
            let (a, b) = (a.map(|v| v / norm(a)), b.map(|v| v / norm(b)));
            let cosine: f64 = (0..3).map(|axis| a[axis] * b[axis]).sum();
            prop_assert!((angle_deg(a, b) - cosine.clamp(-1.0, 1.0).acos().to_degrees()).abs() < 1e-5);
        }
    }
}
