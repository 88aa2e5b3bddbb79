//! Balanced k-means of points on the unit sphere (EMTAL, section 3.2; the published code calls
//! Bradley, Bennett and Demiriz 2000, "Constrained k-means clustering").
//!
//! Lloyd's iteration, whose assignment step gives every cluster exactly `n / E` points at least
//! total [`AssignmentCost`]; centroids are plain means and are not normalised again. Seeding is
//! k-means++ (Arthur and Vassilvitskii 2007). Restarts are compared by the sum of squared
//! distances of an assignment to the final centroids.

use ndarray::Array2;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::assign::assign;
use super::gram::{Centroids, Points};
use crate::error::{Result, config};

/// What the assignment step minimises the sum of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentCost {
    /// `|x - c|`, as the published code does; the objective may then rise in an iteration.
    #[default]
    Distance,
    /// `|x - c|^2`, with which no iteration raises the objective.
    SquaredDistance,
}

/// Configuration of balanced k-means; the defaults are those in force in the published code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansConfig {
    /// How many seedings are tried; the best result is kept.
    pub restarts: usize,
    /// Most iterations of one restart.
    pub max_iterations: usize,
    /// A restart ends when its centroids move by at most this times the mean variance of the
    /// features, as the sum of their squared distances.
    pub tolerance: f64,
    /// Seed of the seedings, and of the random split that a result is compared with.
    pub seed: u64,
    /// What the assignment step minimises.
    pub cost: AssignmentCost,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        let cost = AssignmentCost::Distance;
        Self { restarts: 10, max_iterations: 300, tolerance: 1e-4, seed: 0, cost }
    }
}

impl KMeansConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.restarts == 0 {
            return Err(config("restarts", "at least 1", 0));
        }
        if self.max_iterations == 0 {
            return Err(config("max_iterations", "at least 1", 0));
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(config("tolerance", "a finite number from 0 on", self.tolerance));
        }
        Ok(())
    }

    /// The generator of stream `index`: restarts count up from 0, the random split is the last.
    fn rng(&self, index: u64) -> Pcg64 {
        Pcg64::new(self.seed.into(), index.into())
    }
}

/// Where one restart ended.
pub(super) struct Fit {
    /// Cluster of every point.
    pub(super) labels: Vec<usize>,
    /// Sum of squared distances to the final centroids.
    pub(super) objective: f64,
    /// Assignments made before the centroids stood still or the limit was reached.
    pub(super) iterations: usize,
}

/// Runs restart `index`; `experts` divides the number of points.
///
/// `O(n E)` per iteration, and `O(n)` more per point that changes cluster or is too many for one.
pub(super) fn fit(points: &Points, experts: usize, config: &KMeansConfig, index: usize) -> Fit {
    let tolerance = config.tolerance * points.mean_variance();
    let seeds = seeds(points, experts, &mut config.rng(index as u64));
    let mut centroids = Centroids::seeded(points, &seeds);
    let mut prices = vec![0.0; experts];
    let mut step = |centroids: &Centroids| {
        let squared = centroids.squared_distances();
        (assign(costs(&squared, config.cost).view(), &mut prices), squared)
    };
    let mut iterations = 0;
    loop {
        iterations += 1;
        let shift = centroids.update(&step(&centroids).0);
        if shift <= tolerance || iterations == config.max_iterations {
            break;
        }
    }
    let (labels, squared) = step(&centroids);
    let objective = labels.iter().enumerate().map(|(i, &label)| squared[[i, label]]).sum();
    Fit { labels, objective, iterations }
}

fn costs(squared: &Array2<f64>, cost: AssignmentCost) -> Array2<f64> {
    match cost {
        AssignmentCost::Distance => squared.sqrt(),
        AssignmentCost::SquaredDistance => squared.clone(),
    }
}

/// The first seed is any point; each other one is drawn with a probability proportional to its
/// squared distance to the nearest seed, or evenly if every point coincides with a seed.
fn seeds(points: &Points, experts: usize, rng: &mut Pcg64) -> Vec<usize> {
    let mut nearest = vec![f64::INFINITY; points.len()];
    let mut seed = rng.random_range(0..points.len());
    let mut seeds = vec![seed];
    while seeds.len() < experts {
        for (nearest, squared) in nearest.iter_mut().zip(points.squared_distances(seed)) {
            *nearest = nearest.min(squared);
        }
        nearest[seed] = 0.0;
        seed = draw(&nearest, rng).unwrap_or_else(|| rng.random_range(0..points.len()));
        seeds.push(seed);
    }
    seeds
}

/// An index with a probability proportional to its weight; `None` if all are zero.
pub(crate) fn draw(weights: &[f64], rng: &mut Pcg64) -> Option<usize> {
    let mut rest = rng.random::<f64>() * weights.iter().sum::<f64>();
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        last = Some(index);
        if rest < weight {
            break;
        }
        rest -= weight;
    }
    last
}

/// Labels of a random balanced split of `n` points.
pub(super) fn random_split(n: usize, experts: usize, config: &KMeansConfig) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..n).map(|point| point % experts).collect();
    labels.shuffle(&mut config.rng(u64::MAX));
    labels
}

#[cfg(test)]
mod tests {
    use super::super::gram::scatter;
    use super::*;

    fn random(n: usize, dim: usize) -> Points {
        let mut rng = Pcg64::new(11, 0);
        let draw = || rng.random_range(-1.0..1.0);
        Points::new(Array2::from_shape_simple_fn([n, dim], draw).view())
    }

    /// `clusters` narrow bunches of `size` points each, interleaved.
    fn bunches(clusters: usize, size: usize) -> Points {
        let mut rng = Pcg64::new(5, 0);
        let rows = Array2::from_shape_fn([clusters * size, clusters], |(point, axis)| {
            f64::from(u8::from(point % clusters == axis)) + rng.random_range(-0.1..0.1)
        });
        Points::new(rows.view())
    }

    fn sizes(labels: &[usize], experts: usize) -> Vec<usize> {
        (0..experts).map(|e| labels.iter().filter(|&&label| label == e).count()).collect()
    }

    #[test]
    fn labels_are_balanced_and_beat_random_splits() {
        let points = random(240, 12);
        for cost in [AssignmentCost::Distance, AssignmentCost::SquaredDistance] {
            for experts in [1, 2, 8, 80, 240] {
                let config = KMeansConfig { cost, ..Default::default() };
                let fit = fit(&points, experts, &config, 0);
                assert_eq!(sizes(&fit.labels, experts), vec![240 / experts; experts]);
                let objective = scatter(&points.unit, &fit.labels, experts);
                for seed in 0..100 {
                    let config = KMeansConfig { seed, ..Default::default() };
                    let labels = random_split(240, experts, &config);
                    assert_eq!(sizes(&labels, experts), vec![240 / experts; experts]);
                    assert!(objective <= scatter(&points.unit, &labels, experts) + 1e-9);
                }
            }
        }
    }

    #[test]
    fn one_point_each_leaves_no_scatter() {
        let points = random(60, 12);
        let fit = fit(&points, 60, &KMeansConfig::default(), 0);
        assert!(scatter(&points.unit, &fit.labels, 60) < 1e-12);
    }

    #[test]
    fn plain_bunches_are_found() {
        let points = bunches(6, 20);
        let fits = (0..10).map(|index| fit(&points, 6, &KMeansConfig::default(), index));
        let best = fits.min_by(|a, b| a.objective.total_cmp(&b.objective)).unwrap();
        let same = |i: usize, j: usize| best.labels[i] == best.labels[j];
        assert!((0..120).all(|i| (0..120).all(|j| same(i, j) == (i % 6 == j % 6))));
        let scatter = scatter(&points.unit, &best.labels, 6);
        assert!((best.objective - scatter).abs() < 1e-4, "{} {scatter}", best.objective);
    }

    #[test]
    fn squared_costs_never_raise_the_objective() {
        let points = random(200, 6);
        let cost = AssignmentCost::SquaredDistance;
        let after = |max_iterations| {
            let config =
                KMeansConfig { max_iterations, tolerance: 0.0, cost, ..Default::default() };
            fit(&points, 8, &config, 0).objective
        };
        let objectives: Vec<f64> = (1..12).map(after).collect();
        assert!(objectives.windows(2).all(|pair| pair[1] <= pair[0] + 1e-5), "{objectives:?}");
        assert!(objectives[10] < 0.99 * objectives[0]);
    }

    #[test]
    fn duplicates_and_zero_rows_are_split_evenly() {
        let rows = Array2::from_shape_fn([24, 3], |(point, axis)| match point {
            0..12 => 0.0,
            _ => (axis + 1) as f64,
        });
        let points = Points::new(rows.view());
        for experts in [2, 4, 8, 24] {
            let fit = fit(&points, experts, &KMeansConfig::default(), 0);
            assert_eq!(sizes(&fit.labels, experts), vec![24 / experts; experts]);
        }
        let fit = fit(&points, 4, &KMeansConfig::default(), 0);
        assert!(scatter(&points.unit, &fit.labels, 4) < 1e-12);
    }

    #[test]
    fn out_of_range_fields_are_refused() {
        let refusal = |text: &str| {
            let config: KMeansConfig = serde_json::from_str(text).unwrap();
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(refusal(r#"{"restarts": 0}"#), "restarts: expected at least 1, found 0");
        let message = "max_iterations: expected at least 1, found 0";
        assert_eq!(refusal(r#"{"max_iterations": 0}"#), message);
        let message = "tolerance: expected a finite number from 0 on, found -1";
        assert_eq!(refusal(r#"{"tolerance": -1.0}"#), message);
        assert!(serde_json::from_str::<KMeansConfig>(r#"{"restart": 1}"#).is_err());
    }
}
