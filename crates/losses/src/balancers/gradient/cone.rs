//! Projections on the dual cone of task gradients, which UPGrad and DualProj share.

use ndarray::{Array1, Array2};

use crate::balancers::gradient::gram::Gram;
use crate::balancers::solve::nnls;

/// `G / trace + reg_eps I`.
pub(crate) fn regularized(gram: &Gram, norm_eps: f64, reg_eps: f64) -> Array2<f64> {
    let (matrix, trace) = gram.by_trace();
    let matrix = if trace < norm_eps { matrix * 0.0 } else { matrix };
    &matrix + &(Array2::<f64>::eye(matrix.nrows()) * reg_eps)
}

/// `argmin v^T G v` over `v >= u`: the weights of `J^T u`, projected on the dual cone.
pub(crate) fn projected(matrix: &Array2<f64>, u: &Array1<f64>) -> Array1<f64> {
    nnls(matrix, &-matrix.dot(u)) + u
}
