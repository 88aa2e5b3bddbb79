//! Linear equations with a positive definite matrix.

use ndarray::{Array1, Array2};

/// A pivot below this part of its diagonal entry is round-off: the column depends on others.
const SMALLEST_PIVOT: f64 = 1e-14;

/// `x` of `A x = b` by Cholesky's decomposition; `None` where `A` is not positive definite.
pub(crate) fn solve_spd(a: &Array2<f64>, b: &Array1<f64>) -> Option<Array1<f64>> {
    let lower = decompose(a)?;
    let mut x = b.clone();
    for i in 0..b.len() {
        let known: f64 = (0..i).map(|k| lower[[i, k]] * x[k]).sum();
        x[i] = (x[i] - known) / lower[[i, i]];
    }
    for i in (0..b.len()).rev() {
        let known: f64 = (i + 1..b.len()).map(|k| lower[[k, i]] * x[k]).sum();
        x[i] = (x[i] - known) / lower[[i, i]];
    }
    Some(x)
}

/// The lower triangle `L` of `A = L L^T`.
fn decompose(a: &Array2<f64>) -> Option<Array2<f64>> {
    let size = a.nrows();
    let mut lower = Array2::zeros((size, size));
    for j in 0..size {
        for i in j..size {
            let known: f64 = (0..j).map(|k| lower[[i, k]] * lower[[j, k]]).sum();
            let rest = a[[i, j]] - known;
            if i > j {
                lower[[i, j]] = rest / lower[[j, j]];
                continue;
            }
            if rest <= SMALLEST_PIVOT * a[[j, j]] {
                return None;
            }
            lower[[j, j]] = rest.sqrt();
        }
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::balancers::testing::random_rows;

    #[test]
    fn solutions_satisfy_the_equations() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 4, 6);
            let (a, b) = (rows.dot(&rows.t()), rows.column(0).to_owned());
            let rest = a.dot(&solve_spd(&a, &b).unwrap()) - &b;
            assert!(rest.iter().all(|v| v.abs() < 1e-8), "{seed}: {rest}");
        }
    }

    #[test]
    fn singular_matrices_have_no_solution() {
        assert_eq!(solve_spd(&arr2(&[[1.0, 1.0], [1.0, 1.0]]), &arr1(&[1.0, 1.0])), None);
        assert_eq!(solve_spd(&arr2(&[[0.0]]), &arr1(&[1.0])), None);
    }
}
