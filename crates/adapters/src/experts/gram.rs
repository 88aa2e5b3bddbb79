//! Distances of points to means of points, from their inner products alone.
//!
//! With `G = X X^T` and cluster `e` of `m_e` points, `x . c_e = sum_{j in e} G[x, j] / m_e` and
//! `|c_e|^2 = sum_{x in e} x . c_e / m_e`, so one matrix product serves every iteration of every
//! restart, and a point that changes cluster costs `O(n)` whatever the dimension.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip, s};
use rayon::prelude::*;

/// Rows per task of the matrix product: fixed, so that no sum depends on the number of threads.
const BLOCK: usize = 128;

/// Points on the unit sphere, or at zero, and their inner products about their mean.
pub(super) struct Points {
    /// `[n, dim]`.
    pub(super) unit: Array2<f32>,
    /// `G`: `[n, n]`. Subtracting the mean changes no distance and loses fewer digits.
    gram: Array2<f32>,
    /// Diagonal of `gram`.
    pub(super) squares: Vec<f64>,
}

impl Points {
    /// Divides every row of `rows` (`[n, dim]`, finite) by its norm; zero rows stay zero.
    ///
    /// `O(n^2 dim)` on rayon's threads, `4 n^2` bytes.
    pub(super) fn new(rows: ArrayView2<f64>) -> Self {
        let unit = normalise(rows);
        let mean = unit.mean_axis(Axis(0)).unwrap_or_default();
        let gram = products(&(&unit - &mean));
        let squares = gram.diag().mapv(f64::from).to_vec();
        Self { unit, gram, squares }
    }

    pub(super) fn len(&self) -> usize {
        self.squares.len()
    }

    /// Mean over the dimensions of the variance over the points.
    pub(super) fn mean_variance(&self) -> f64 {
        self.squares.iter().sum::<f64>() / self.unit.len() as f64
    }

    /// Squared distances of all points to `point`.
    pub(super) fn squared_distances(&self, point: usize) -> impl Iterator<Item = f64> {
        let squares = self.squares.iter().zip(self.gram.row(point));
        squares.map(move |(square, &dot)| {
            (square + self.squares[point] - 2.0 * f64::from(dot)).max(0.0)
        })
    }
}

fn normalise(rows: ArrayView2<f64>) -> Array2<f32> {
    let mut unit = Array2::zeros(rows.dim());
    Zip::from(unit.rows_mut()).and(rows.rows()).for_each(|mut unit, row| {
        // Dividing by the largest entry first keeps the squares from over- and underflowing.
        let largest = row.fold(0.0, |largest: f64, value| largest.max(value.abs()));
        if largest > 0.0 {
            let norm = row.fold(0.0, |sum, value| sum + (value / largest).powi(2)).sqrt();
            unit.zip_mut_with(&row, |unit, value| *unit = (value / largest / norm) as f32);
        }
    });
    unit
}

fn products(points: &Array2<f32>) -> Array2<f32> {
    let mut gram = Array2::zeros([points.nrows(), points.nrows()]);
    let blocks: Vec<_> = gram.axis_chunks_iter_mut(Axis(0), BLOCK).collect();
    blocks.into_par_iter().enumerate().for_each(|(index, mut block)| {
        let start = index * BLOCK;
        let rows = points.slice(s![start..start + block.nrows(), ..]);
        general_mat_mul(1.0, &rows, &points.t(), 0.0, &mut block);
    });
    gram
}

/// Means of clusters of points, as their inner products with every point.
pub(super) struct Centroids<'a> {
    points: &'a Points,
    labels: Vec<usize>,
    /// `m_e c_e . x`: `[clusters, n]`.
    sums: Array2<f64>,
    /// `m_e`: one for the seeds, `n / clusters` after.
    size: f64,
    /// `|c_e|^2`.
    norms: Vec<f64>,
}

impl<'a> Centroids<'a> {
    /// Every centroid is a point.
    pub(super) fn seeded(points: &'a Points, seeds: &[usize]) -> Self {
        let sums = points.gram.select(Axis(0), seeds).mapv(f64::from);
        let norms = seeds.iter().map(|&seed| points.squares[seed]).collect();
        Self { points, labels: Vec::new(), sums, size: 1.0, norms }
    }

    /// Squared distances to all points: `[n, clusters]`.
    pub(super) fn squared_distances(&self) -> Array2<f64> {
        let scale = 2.0 / self.size;
        let mut squared = Array2::zeros([self.points.len(), self.norms.len()]);
        for (cluster, norm) in self.norms.iter().enumerate() {
            let dots = self.sums.row(cluster);
            let entries = squared.column_mut(cluster).into_iter().zip(&self.points.squares);
            for ((entry, square), dot) in entries.zip(dots) {
                *entry = (square + norm - scale * dot).max(0.0);
            }
        }
        squared
    }

    /// Makes the centroids the means of the balanced `labels`; returns the sum over the clusters
    /// of the squared distance moved.
    pub(super) fn update(&mut self, labels: &[usize]) -> f64 {
        if labels == self.labels {
            return 0.0;
        }
        let before = self.dots_with_members(labels);
        let (old_size, old_norms) = (self.size, std::mem::take(&mut self.norms));
        self.move_points(labels);
        self.size = (labels.len() / old_norms.len()) as f64;
        let own = self.dots_with_members(labels);
        self.norms = own.iter().map(|dots| dots / self.size.powi(2)).collect();
        let cross = before.iter().map(|dots| dots / (self.size * old_size));
        let ends = self.norms.iter().zip(&old_norms);
        ends.zip(cross).map(|((new, old), cross)| (new + old - 2.0 * cross).max(0.0)).sum()
    }

    /// `sum_{x in e} m_e c_e . x` per cluster.
    fn dots_with_members(&self, labels: &[usize]) -> Vec<f64> {
        let mut dots = vec![0.0; self.sums.nrows()];
        for (point, &label) in labels.iter().enumerate() {
            dots[label] += self.sums[[label, point]];
        }
        dots
    }

    fn move_points(&mut self, labels: &[usize]) {
        let moved = self.labels.iter().zip(labels).filter(|(old, new)| old != new).count();
        // A move is two additions, and a fresh sum is one per point.
        let fresh = self.labels.is_empty() || 2 * moved >= labels.len();
        if fresh {
            self.sums.fill(0.0);
        }
        for (point, &label) in labels.iter().enumerate() {
            if fresh || self.labels[point] != label {
                self.add(point, label, 1.0);
            }
            if !fresh && self.labels[point] != label {
                self.add(point, self.labels[point], -1.0);
            }
        }
        self.labels = labels.to_vec();
    }

    fn add(&mut self, point: usize, cluster: usize, sign: f64) {
        let row = self.points.gram.row(point);
        self.sums.row_mut(cluster).zip_mut_with(&row, |sum, &dot| *sum += sign * f64::from(dot));
    }
}

/// Sum over the points of the squared distance to the mean of their cluster, from the points
/// themselves. `points`: `[n, dim]`.
pub(super) fn scatter(points: &Array2<f32>, labels: &[usize], clusters: usize) -> f64 {
    let size = (labels.len() / clusters) as f64;
    let mut means = Array2::<f64>::zeros([clusters, points.ncols()]);
    for (point, &label) in points.outer_iter().zip(labels) {
        means.row_mut(label).zip_mut_with(&point, |sum, &value| *sum += f64::from(value) / size);
    }
    let squared = |(point, &label): (ndarray::ArrayView1<f32>, &usize)| {
        let difference: Array1<f64> = point.mapv(f64::from) - means.row(label);
        difference.dot(&difference)
    };
    points.outer_iter().zip(labels).map(squared).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::Rng;
    use rand_pcg::Pcg64;

    use super::*;

    fn random(n: usize, dim: usize) -> Array2<f64> {
        let mut rng = Pcg64::new(7, 7);
        Array2::from_shape_simple_fn([n, dim], || rng.random_range(-1.0..1.0))
    }

    /// Means of the clusters, and squared distances to them, by definition.
    fn by_definition(points: &Points, labels: &[usize]) -> (Array2<f64>, Array2<f64>) {
        let members = |cluster| {
            let member = |point: &usize| labels[*point] == cluster;
            (0..labels.len()).filter(member).collect::<Vec<_>>()
        };
        let unit = points.unit.mapv(f64::from);
        let clusters = labels.iter().max().unwrap() + 1;
        let means = Array2::from_shape_fn([clusters, unit.ncols()], |(cluster, axis)| {
            unit.column(axis).select(Axis(0), &members(cluster)).mean().unwrap()
        });
        let squared = Array2::from_shape_fn([labels.len(), clusters], |(point, cluster)| {
            (&unit.row(point) - &means.row(cluster)).pow2().sum()
        });
        (means, squared)
    }

    #[test]
    fn distances_and_shifts_follow_their_definition() {
        let points = Points::new(random(300, 9).view());
        let rounds: [fn(usize) -> usize; 3] = [|i| i % 4, |i| (i + i / 280) % 4, |i| i / 75];
        let mut centroids = Centroids::seeded(&points, &[3, 1, 4, 15]);
        let seeds = points.unit.select(Axis(0), &[3, 1, 4, 15]).mapv(f64::from);
        let mut old = seeds;
        for round in rounds {
            let labels: Vec<usize> = (0..300).map(round).collect();
            let (means, squared) = by_definition(&points, &labels);
            let shift = centroids.update(&labels);
            assert!((shift - (&means - &old).pow2().sum()).abs() < 1e-6);
            // Differences of products of order one, each rounded to 6e-8.
            let error = (centroids.squared_distances() - squared).mapv(f64::abs);
            assert!(error.iter().all(|&error| error < 1e-6));
            assert_eq!(centroids.update(&labels), 0.0);
            old = means;
        }
    }

    #[test]
    fn scatter_is_the_sum_of_own_squared_distances() {
        let points = Points::new(random(60, 5).view());
        let labels: Vec<usize> = (0..60).map(|i| i % 6).collect();
        let (_, squared) = by_definition(&points, &labels);
        let expected: f64 = labels.iter().enumerate().map(|(i, &l)| squared[[i, l]]).sum();
        assert!((scatter(&points.unit, &labels, 6) - expected).abs() < 1e-10);
    }

    #[test]
    fn rows_of_any_size_become_unit_and_zero_rows_stay() {
        let rows = array![[3.0, -4.0], [0.0, 0.0], [3e-300, 4e-300], [3e300, 4e300]];
        let expected = array![[0.6, -0.8], [0.0, 0.0], [0.6, 0.8], [0.6, 0.8]];
        let error = Points::new(rows.view()).unit.mapv(f64::from) - expected;
        assert!(error.iter().all(|error| error.abs() < 1e-7));
    }

    #[test]
    fn mean_variance_is_that_of_the_columns() {
        let points = Points::new(random(50, 3).view());
        let expected = points.unit.mapv(f64::from).var_axis(Axis(0), 0.0).mean().unwrap();
        assert!((points.mean_variance() - expected).abs() < 1e-6);
    }
}
