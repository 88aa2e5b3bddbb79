//! ConFIG: conflict-free inverse gradients (Liu, Chu, Thuerey, ICLR 2025, arXiv 2408.11104).

use ndarray::Array2;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::Eigen;
use crate::balancers::step_info::StepInfo;

/// `d = (sum_i g_i . u) u`, `u` the unit vector at equal angles to all task gradients:
/// `u = v / |v|`, `v = U^+ 1`, `U` the rows `g_i / n_i`.
///
/// By the cosines `C = U U^T` it is `v = U^T C^+ 1`. Eigenvalues of `C` below 1e-7 of the largest
/// count as 0: task gradients so close to dependent have no such `u` that rounding would leave. A
/// task gradient of 0 has no part; opposite ones cancel, and `d` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConFig {}

/// Smallest eigenvalue of the cosines over the largest that has an inverse.
const LEAST: f64 = 1e-7;

impl Part for ConFig {
    const NAME: &'static str = "config";
    const SUMMARY: &'static str = "the direction at equal angles to all task gradients";

    fn example() -> Self {
        ConFig::default()
    }
}

impl BalancerPart for ConFig {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Liu et al., ICLR 2025, arXiv 2408.11104"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(*self))
    }
}

impl GramAggregator for ConFig {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let (norms, cosines) = (gram.norms(), gram.cosines());
        let of_units = inverse(&cosines).sum_axis(ndarray::Axis(1));
        let along = cosines.dot(&of_units);
        let square = of_units.dot(&along);
        // v is 0 where task gradients cancel.
        let length = if square > 1e-12 { norms.dot(&along) / square } else { 0.0 };
        let weight = |(of_unit, norm): (&f64, &f64)| {
            if *norm > 0.0 { length * of_unit / norm } else { 0.0 }
        };
        Ok(of_units.iter().zip(&norms).map(weight).collect())
    }
}

/// The pseudo-inverse of the cosines.
fn inverse(cosines: &Array2<f64>) -> Array2<f64> {
    let eigen = Eigen::new(cosines);
    let floor = LEAST * eigen.values.fold(0.0, |most: f64, value| most.max(*value));
    eigen.map(|value| if value > floor { 1.0 / value } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;
    use crate::balancers::testing::{agree, close, direction, gram, rows2, rows3, weights};

    fn d(rows: &Array2<f64>) -> Array1<f64> {
        Array1::from_vec(direction(rows, &weights(&mut ConFig {}, &gram(rows))))
    }

    #[test]
    fn all_tasks_gain_at_the_same_angle() {
        for rows in [rows2(), rows3()] {
            let d = d(&rows);
            let length = d.dot(&d).sqrt();
            let cosine =
                |row: ndarray::ArrayView1<f64>| row.dot(&d) / length / row.dot(&row).sqrt();
            let cosines: Vec<f64> = rows.rows().into_iter().map(cosine).collect();
            close(&cosines, &vec![cosines[0]; cosines.len()], 1e-9);
            assert!(cosines[0] > 0.0, "{cosines:?}");
            // The length is that of all projections.
            let projections: f64 = rows.rows().into_iter().map(|row| row.dot(&d) / length).sum();
            assert!((length - projections).abs() < 1e-9, "{length} {projections}");
        }
    }

    /// Two tasks: `u` is the bisector, here of (3, 0) and (0, 1), and `d = (3 + 1) / sqrt 2 u`.
    #[test]
    fn two_tasks_meet_at_their_bisector() {
        let rows = ndarray::arr2(&[[3.0, 0.0], [0.0, 1.0]]);
        agree(&d(&rows).to_vec(), &[2.0, 2.0]);
        let opposite = ndarray::arr2(&[[3.0, 0.0], [-1.0, 0.0]]);
        agree(&d(&opposite).to_vec(), &[0.0, 0.0]);
    }
}
