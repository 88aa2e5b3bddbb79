//! Quadratic problems over non-negative numbers.

use ndarray::{Array1, Array2, Axis};

use super::solve_spd;

/// `argmin 1/2 x^T H x - b^T x` over `x >= 0`, `H` positive semi-definite.
///
/// The active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23)
/// on inner products: a column enters where the slope is steepest, and columns that would become
/// negative leave. Exact up to round-off, also where `H` is singular: a column that depends on
/// those inside stays outside. Coordinates with a zero on the diagonal stay 0.
pub(crate) fn nnls(h: &Array2<f64>, b: &Array1<f64>) -> Array1<f64> {
    // In units of unit diagonal one tolerance suits columns of very different lengths.
    let unit = h.diag().mapv(|v| if v > 0.0 { 1.0 / v.sqrt() } else { 0.0 });
    let h = h * &unit * unit.view().insert_axis(Axis(1));
    let mut search = Search { b: b * &unit, x: Array1::zeros(b.len()), inside: vec![], h };
    // Lawson and Hanson's method ends by itself; round-off alone could make it circle.
    for _ in 0..30 * b.len() {
        if !search.improve() {
            break;
        }
    }
    search.x * unit
}

struct Search {
    h: Array2<f64>,
    b: Array1<f64>,
    x: Array1<f64>,
    inside: Vec<usize>,
}

impl Search {
    /// Lets one more column in and settles; `false` at the optimum.
    fn improve(&mut self) -> bool {
        let slope = &self.b - &self.h.dot(&self.x);
        let size = |v: &Array1<f64>| v.fold(0.0, |most: f64, v| most.max(v.abs()));
        let floor = 1e-14 * self.b.len() as f64 * (size(&self.b) + size(&self.x));
        let outside = (0..self.b.len()).filter(|j| !self.inside.contains(j));
        let mut steep: Vec<usize> = outside.filter(|j| slope[*j] > floor).collect();
        steep.sort_by(|i, j| slope[*j].total_cmp(&slope[*i]));
        steep.into_iter().any(|entering| self.enter(entering))
    }

    /// `false`, and nothing changed, where round-off alone made the column look useful.
    fn enter(&mut self, entering: usize) -> bool {
        self.inside.push(entering);
        match self.solve() {
            Some(wanted) if wanted[self.inside.len() - 1] > 0.0 => self.settle(wanted),
            _ => {
                self.inside.pop();
                return false;
            }
        }
        true
    }

    /// Walks towards `wanted`, dropping the columns that become 0 on the way.
    fn settle(&mut self, mut wanted: Array1<f64>) {
        while let Some((fraction, first)) = self.first_zero(&wanted) {
            for (at, j) in self.inside.iter().enumerate() {
                self.x[*j] += fraction * (wanted[at] - self.x[*j]);
            }
            // Exactly, so that every turn drops a column.
            self.x[first] = 0.0;
            self.x.mapv_inplace(|v| v.max(0.0));
            let x = &self.x;
            self.inside.retain(|j| x[*j] > 0.0);
            match self.solve() {
                Some(next) => wanted = next,
                None => return,
            }
        }
        for (at, j) in self.inside.iter().enumerate() {
            self.x[*j] = wanted[at];
        }
    }

    /// How far towards `wanted` a column first reaches 0, and which.
    fn first_zero(&self, wanted: &Array1<f64>) -> Option<(f64, usize)> {
        let fraction = |at: usize, j: usize| self.x[j] / (self.x[j] - wanted[at]);
        let leaving = self.inside.iter().enumerate().filter(|(at, _)| wanted[*at] <= 0.0);
        leaving.map(|(at, j)| (fraction(at, *j), *j)).min_by(|one, other| one.0.total_cmp(&other.0))
    }

    fn solve(&self) -> Option<Array1<f64>> {
        let h = self.h.select(Axis(0), &self.inside).select(Axis(1), &self.inside);
        solve_spd(&h, &self.b.select(Axis(0), &self.inside))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::balancers::testing::{random_rows, subsets};

    fn value(h: &Array2<f64>, b: &Array1<f64>, x: &Array1<f64>) -> f64 {
        0.5 * x.dot(&h.dot(x)) - b.dot(x)
    }

    /// The best of all sets of columns whose unconstrained optimum is non-negative.
    fn brute(h: &Array2<f64>, b: &Array1<f64>) -> f64 {
        let of = |set: Vec<usize>| {
            let part = h.select(Axis(0), &set).select(Axis(1), &set);
            let found = solve_spd(&part, &b.select(Axis(0), &set))?;
            let mut x = Array1::zeros(b.len());
            set.iter().zip(found).for_each(|(j, v)| x[*j] = v);
            x.iter().all(|v| *v >= 0.0).then(|| value(h, b, &x))
        };
        subsets(b.len()).into_iter().filter_map(of).fold(0.0, f64::min)
    }

    #[test]
    fn the_optimum_is_that_of_all_active_sets() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 5;
            // Fewer coordinates than tasks in many draws: a singular matrix.
            let rows = random_rows(seed, tasks, 2 + seed as usize % 4);
            let (h, b) =
                (rows.dot(&rows.t()), rows.dot(&random_rows(seed + 7, 1, rows.ncols()).row(0)));
            let x = nnls(&h, &b);
            assert!(x.iter().all(|v| *v >= 0.0), "{seed}: {x}");
            let (found, expected) = (value(&h, &b, &x), brute(&h, &b));
            assert!(
                (found - expected).abs() < 1e-10 * (1.0 + expected.abs()),
                "{seed}: {found} {expected}"
            );
        }
    }

    #[test]
    fn equal_rows_and_zeros_are_no_trouble() {
        let h = arr2(&[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        let x = nnls(&h, &arr1(&[2.0, 2.0, 0.0]));
        assert!((x[0] + x[1] - 2.0).abs() < 1e-12 && x[2] == 0.0, "{x}");
        assert_eq!(nnls(&h, &arr1(&[-1.0, -1.0, 0.0])), arr1(&[0.0; 3]));
    }
}
