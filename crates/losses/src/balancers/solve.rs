//! Exact solvers of the small problems inside balancers, for matrices of `T` tasks.

mod cholesky;
mod eigen;
mod nash;
mod nnls;
mod simplex;
mod softmax;

pub(crate) use cholesky::solve_spd;
pub(crate) use eigen::Eigen;
pub(crate) use nash::power_balance;
pub(crate) use nnls::nnls;
pub(crate) use simplex::{min_norm, project};
pub(crate) use softmax::softmax;
