//! The inner products of the task gradients.

use ndarray::{Array1, Array2};

use crate::balancers::solve::Eigen;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// `G = J J^T`, `[T, T]`: finite, symmetric, with no negative number on its diagonal.
///
/// Average task gradients over ranks and micro-batches, and undo loss scaling, before the matrix is
/// computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram(Array2<f64>);

impl Gram {
    /// Takes the inner products of one set of task gradients.
    ///
    /// # Errors
    /// [`Error::NonFinite`] names the first bad task gradient and asks to skip the step; a matrix
    /// that is not square, not symmetric to 1e-6 of its trace, or negative on its diagonal is
    /// [`Error::Gram`].
    pub fn new(matrix: Array2<f64>) -> Result<Self> {
        check_finite(&matrix)?;
        let skew = (&matrix - &matrix.t()).fold(0.0, |most: f64, v| most.max(v.abs()));
        if skew > 1e-6 * matrix.diag().sum().abs() {
            return Err(bad("a symmetric matrix", format!("entries that differ by {skew:e}")));
        }
        if let Some(found) = matrix.diag().iter().find(|v| **v < 0.0) {
            return Err(bad("a diagonal of 0 or more", found.to_string()));
        }
        Ok(Self(symmetric(&matrix)))
    }

    /// Takes `J1 J2^T` of two independent batches (SDMGrad): the symmetric part, without its
    /// negative eigenvalues, which sampling noise alone can cause.
    ///
    /// # Errors
    /// As [`Gram::new`], but for symmetry and diagonal.
    pub fn cross(matrix: Array2<f64>) -> Result<Self> {
        check_finite(&matrix)?;
        let eigen = Eigen::new(&symmetric(&matrix));
        Ok(Self(symmetric(&eigen.map(|value| value.max(0.0)))))
    }

    /// The numbers.
    pub fn matrix(&self) -> &Array2<f64> {
        &self.0
    }

    /// The lengths of the task gradients.
    pub fn norms(&self) -> Array1<f64> {
        self.0.diag().mapv(f64::sqrt)
    }

    /// The length of `sum_i weights_i g_i`.
    pub fn norm_of(&self, weights: &[f64]) -> f64 {
        let weights = Array1::from_vec(weights.to_vec());
        weights.dot(&self.0.dot(&weights)).max(0.0).sqrt()
    }

    /// The Gram matrix of `factors_i g_i`.
    pub fn scaled(&self, factors: &[f64]) -> Gram {
        Gram(Array2::from_shape_fn(self.0.dim(), |(i, j)| factors[i] * self.0[[i, j]] * factors[j]))
    }

    /// Cosines of the angles between task gradients; 0 beside a task gradient of length 0.
    pub fn cosines(&self) -> Array2<f64> {
        let inverse = self.norms().mapv(|n| if n > 0.0 { 1.0 / n } else { 0.0 });
        self.scaled(&inverse.to_vec()).0.mapv(|cosine| cosine.clamp(-1.0, 1.0))
    }

    /// Largest over smallest eigenvalue; infinite for a singular matrix, 1 for one of zeros.
    pub fn condition(&self) -> f64 {
        let values = Eigen::new(&self.0).values;
        match (values[0], values[values.len() - 1]) {
            (most, _) if most <= 0.0 => 1.0,
            (most, least) if least <= most * f64::EPSILON => f64::INFINITY,
            (most, least) => most / least,
        }
    }

    /// The numbers divided by their trace, and the trace; zeros stay zeros.
    pub(crate) fn by_trace(&self) -> (Array2<f64>, f64) {
        let trace = self.0.diag().sum();
        (if trace > 0.0 { &self.0 / trace } else { self.0.clone() }, trace)
    }

    /// The numbers, checked to be of the tasks of `batch`.
    pub(crate) fn of(&self, info: &StepInfo) -> Result<&Array2<f64>> {
        if self.0.nrows() == info.len() {
            return Ok(&self.0);
        }
        Err(bad(&format!("{0} x {0} numbers", info.len()), format!("{:?}", self.0.dim())))
    }
}

fn check_finite(matrix: &Array2<f64>) -> Result<()> {
    if !matrix.is_square() || matrix.is_empty() {
        return Err(bad("a square matrix", format!("{:?}", matrix.dim())));
    }
    // A bad task gradient spoils a whole row and column: its own diagonal entry tells it from its
    // victims.
    let diagonal = matrix.diag().into_iter().enumerate().map(|(i, v)| (i, *v));
    let all = matrix.indexed_iter().map(|((i, _), v)| (i, *v));
    match diagonal.chain(all).find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((row, found)) => Err(Error::NonFinite { key: format!("gram[{row}]"), found }),
    }
}

fn symmetric(matrix: &Array2<f64>) -> Array2<f64> {
    (matrix + &matrix.t()) / 2.0
}

fn bad(expected: &str, found: String) -> Error {
    Error::Gram { expected: expected.to_owned(), found }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::balancers::testing::{info, j2, j3};

    #[test]
    fn norms_cosines_and_condition_are_those_of_the_rows() {
        let gram = j2();
        assert_eq!(gram.matrix(), arr2(&[[18.0, -22.0], [-22.0, 38.0]]));
        assert!((gram.cosines()[[0, 1]] + 0.841191).abs() < 5e-7);
        assert!((gram.norms()[1] - 6.164414).abs() < 5e-7);
        assert!((gram.condition() - 52.166092 / 3.833908).abs() < 1e-5);
        assert!((j3().condition() - 7.054178 / 1.041041).abs() < 1e-5);
        assert!((gram.norm_of(&[0.6, 0.4]) - 2f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn bad_matrices_are_named() {
        let message = |matrix: Array2<f64>| Gram::new(matrix).unwrap_err().to_string();
        let nan = arr2(&[[1.0, f64::NAN], [f64::NAN, f64::NAN]]);
        assert_eq!(message(nan), "gram[1]: expected finite numbers, found NaN");
        let found = message(Array2::zeros((2, 3)));
        assert_eq!(found, "gram: expected a square matrix, found (2, 3)");
        let found = message(arr2(&[[1.0, 0.0], [0.5, 1.0]]));
        assert_eq!(found, "gram: expected a symmetric matrix, found entries that differ by 5e-1");
        let found = message(arr2(&[[-1.0]]));
        assert_eq!(found, "gram: expected a diagonal of 0 or more, found -1");
        let found = j3().of(&info(&[1.0, 2.0])).unwrap_err().to_string();
        assert_eq!(found, "gram: expected 2 x 2 numbers, found (3, 3)");
    }

    #[test]
    fn a_cross_product_loses_its_negative_part() {
        let gram = Gram::cross(arr2(&[[1.0, 3.0], [1.0, 1.0]])).unwrap();
        assert!((gram.matrix() - &arr2(&[[1.5, 1.5], [1.5, 1.5]])).iter().all(|v| v.abs() < 1e-12));
    }
}
