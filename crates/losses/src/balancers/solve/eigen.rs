//! Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.

use ndarray::{Array1, Array2, Axis};

/// `A = V diag(values) V^T`.
#[derive(Debug, Clone)]
pub(crate) struct Eigen {
    /// Eigenvalues, largest first.
    pub(crate) values: Array1<f64>,
    /// Eigenvectors, one in each column.
    pub(crate) vectors: Array2<f64>,
}

impl Eigen {
    /// Decomposes a symmetric matrix.
    ///
    /// Cyclic sweeps (Golub and Van Loan, Matrix Computations, 8.5) until no number beside the
    /// diagonal is above round-off; convergence is quadratic, so 30 sweeps are never reached.
    pub(crate) fn new(matrix: &Array2<f64>) -> Self {
        let mut a = matrix.clone();
        let mut vectors = Array2::eye(a.nrows());
        for _ in 0..30 {
            let mut turned = false;
            for p in 0..a.nrows() {
                for q in p + 1..a.nrows() {
                    turned |= rotate(&mut a, &mut vectors, p, q);
                }
            }
            if !turned {
                break;
            }
        }
        sorted(&a.diag().to_owned(), &vectors)
    }

    /// `V diag(f(values)) V^T`.
    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Array2<f64> {
        (&self.vectors * &self.values.mapv(f)).dot(&self.vectors.t())
    }

    /// How many eigenvalues are above round-off: `values > max T eps`.
    pub(crate) fn rank(&self) -> usize {
        let floor = self.values[0] * self.values.len() as f64 * f64::EPSILON;
        self.values.iter().filter(|value| **value > floor.max(0.0)).count()
    }

    /// The pseudo-inverse.
    pub(crate) fn inverse(&self) -> Array2<f64> {
        let rank = self.rank();
        let floor = if rank == 0 { f64::INFINITY } else { self.values[rank - 1] };
        self.map(|value| if value >= floor { 1.0 / value } else { 0.0 })
    }
}

/// Makes `a[p, q]` zero, if it is not so already.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) -> bool {
    let beside = a[[p, q]];
    if beside.abs() <= f64::EPSILON * 0.125 * (a[[p, p]] * a[[q, q]]).abs().sqrt()
        || beside.abs() < f64::MIN_POSITIVE
    {
        return false;
    }
    let half = (a[[q, q]] - a[[p, p]]) / (2.0 * beside);
    let tangent = half.signum() / (half.abs() + half.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for k in 0..a.nrows() {
        turn(a, [k, p], [k, q], cosine, sine);
    }
    for k in 0..a.nrows() {
        turn(a, [p, k], [q, k], cosine, sine);
        turn(vectors, [k, p], [k, q], cosine, sine);
    }
    (a[[p, q]], a[[q, p]]) = (0.0, 0.0);
    true
}

fn turn(m: &mut Array2<f64>, at_p: [usize; 2], at_q: [usize; 2], cosine: f64, sine: f64) {
    let (p, q) = (m[at_p], m[at_q]);
    m[at_p] = cosine * p - sine * q;
    m[at_q] = sine * p + cosine * q;
}

fn sorted(values: &Array1<f64>, vectors: &Array2<f64>) -> Eigen {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|i, j| values[*j].total_cmp(&values[*i]));
    Eigen { values: values.select(Axis(0), &order), vectors: vectors.select(Axis(1), &order) }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::balancers::testing::{agree, j2, j3, random_rows};

    #[test]
    fn eigenvalues_are_those_of_the_test_matrices() {
        agree(
            Eigen::new(j2().matrix()).values.as_slice().unwrap_or_default(),
            &[52.166092, 3.833908],
        );
        let j3 = Eigen::new(j3().matrix());
        agree(j3.values.as_slice().unwrap_or_default(), &[7.054178, 1.404781, 1.041041]);
    }

    #[test]
    fn products_give_the_matrix_back() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 1 + seed as usize % 8, 5);
            let gram = rows.dot(&rows.t());
            let eigen = Eigen::new(&gram);
            let size = gram.diag().sum();
            assert!((eigen.map(|v| v) - &gram).iter().all(|v| v.abs() < 1e-13 * size), "{seed}");
            let unit = eigen.vectors.t().dot(&eigen.vectors) - Array2::<f64>::eye(gram.nrows());
            assert!(unit.iter().all(|v| v.abs() < 1e-13), "{seed}");
            assert_eq!(eigen.rank(), rows.nrows().min(5), "{seed}");
            let back = gram.dot(&eigen.inverse()).dot(&gram) - &gram;
            assert!(back.iter().all(|v| v.abs() < 1e-9 * size), "{seed}");
        }
    }

    #[test]
    fn degenerate_matrices_are_decomposed() {
        let equal = Eigen::new(&arr2(&[[1.0, 1.0], [1.0, 1.0]]));
        assert!(equal.rank() == 1 && (equal.values[0] - 2.0).abs() < 1e-14);
        let none = Eigen::new(&Array2::zeros((3, 3)));
        assert_eq!(none.rank(), 0);
        assert_eq!(none.inverse(), Array2::<f64>::zeros((3, 3)));
    }
}
