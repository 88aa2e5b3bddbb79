//! Problems over the simplex `{w >= 0, sum w = 1}`.

use ndarray::{Array1, Array2, Axis};

use super::nnls;

/// `argmin w^T G w` over the simplex: the shortest vector in the convex hull of the rows.
///
/// With `y_i = w_i n_i` and `a_i` proportional to `1 / n_i` the ray of the optimum is that of
/// `argmin y^T C y + (a^T y - 1)^2` over `y >= 0`, `C` the cosines: a problem for [`nnls`] that is
/// well scaled however much the lengths differ. A row of length 0 is the optimum itself.
pub(crate) fn min_norm(gram: &Array2<f64>) -> Array1<f64> {
    let norms = gram.diag().mapv(|v| v.max(0.0).sqrt());
    let shortest = norms.fold(f64::INFINITY, |least, n| least.min(*n));
    if shortest <= f64::MIN_POSITIVE.sqrt() {
        let short = norms.mapv(|n| if n <= shortest { 1.0 } else { 0.0 });
        return &short / short.sum();
    }
    let a = norms.mapv(|n| shortest / n);
    let cosines = gram / &norms / norms.view().insert_axis(Axis(1));
    let y = nnls(&(cosines + outer(&a)), &a);
    let w = y * a;
    &w / w.sum()
}

/// The point of the simplex nearest to `w` (Held, Wolfe, Crowder 1974).
pub(crate) fn project(w: &Array1<f64>) -> Array1<f64> {
    let mut sorted = w.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (count, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (count + 1) as f64;
        if value - candidate > 0.0 {
            shift = candidate;
        }
    }
    w.mapv(|value| (value - shift).max(0.0))
}

fn outer(a: &Array1<f64>) -> Array2<f64> {
    a.view().insert_axis(Axis(1)).dot(&a.view().insert_axis(Axis(0)))
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::balancers::testing::random_rows;

    #[test]
    fn the_projection_is_the_nearest_point() {
        for seed in 0..1000 {
            let w = random_rows(seed, 1, 3).row(0).to_owned();
            let nearest = project(&w);
            assert!((nearest.sum() - 1.0).abs() < 1e-12 && nearest.iter().all(|v| *v >= 0.0));
            let distance = (&nearest - &w).mapv(|v| v * v).sum();
            for (i, j) in (0..=20).flat_map(|i| (0..=20 - i).map(move |j| (i, j))) {
                let other = arr1(&[i as f64, j as f64, (20 - i - j) as f64]) / 20.0;
                assert!((other - &w).mapv(|v| v * v).sum() >= distance - 1e-12, "{seed}");
            }
        }
    }

    #[test]
    fn rows_of_length_0_are_the_shortest_vector() {
        assert_eq!(min_norm(&arr2(&[[1.0, 0.0], [0.0, 0.0]])), arr1(&[0.0, 1.0]));
        assert_eq!(min_norm(&Array2::zeros((2, 2))), arr1(&[0.5, 0.5]));
    }

    #[test]
    fn very_different_lengths_keep_their_digits() {
        // Orthogonal rows: w_i is proportional to 1 / n_i^2.
        let w = min_norm(&arr2(&[[1e-12, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1e12]]));
        assert!((w[1] / 1e-12 - 1.0).abs() < 1e-9 && (w[2] / 1e-24 - 1.0).abs() < 1e-9, "{w}");
    }
}
