//! The equation of Nash-MTL and FairGrad.

use ndarray::{Array1, Array2, Axis};

use super::solve_spd;

/// Weights times norms above this are no solution but the way to infinity: opposite rows.
const LARGEST: f64 = 1e6;

/// `x > 0` with `G x = x^(-1/a)` (elementwise), all rows longer than 0.
///
/// It is the minimum of the convex `1/2 x^T G x - sum phi(x_i)`, `phi' = x^(-1/a)`, found by damped
/// Newton steps from the solution for orthogonal rows. `None` where a non-negative combination of
/// rows is 0 (a Pareto-stationary point): then there is no minimum.
pub(crate) fn power_balance(gram: &Array2<f64>, a: f64) -> Option<Array1<f64>> {
    let norms = gram.diag().mapv(f64::sqrt);
    // In units of the orthogonal solution, n^(-2a / (1 + a)), every start is 1.
    let unit = norms.mapv(|n| n.powf(-2.0 * a / (1.0 + a)));
    let length = &norms * &unit;
    let length = &length / length.fold(0.0, |most: f64, v| most.max(*v));
    let cosines = gram / &norms / norms.view().insert_axis(Axis(1));
    let matrix = cosines * &length * length.view().insert_axis(Axis(1));
    let problem = Problem { matrix, price: length.mapv(|v| v * v), a };
    problem.minimum().map(|y| y * unit)
}

/// `f(y) = 1/2 y^T M y - sum price_i phi(y_i)`.
struct Problem {
    matrix: Array2<f64>,
    price: Array1<f64>,
    a: f64,
}

impl Problem {
    fn minimum(&self) -> Option<Array1<f64>> {
        let mut y = Array1::ones(self.price.len());
        for _ in 0..200 {
            if self.residual(&y) < 1e-13 {
                break;
            }
            let Some(next) = self.newton(&y) else { break };
            if next.iter().any(|v| *v > LARGEST) {
                return None;
            }
            y = next;
        }
        (self.residual(&y) < 1e-8).then_some(y)
    }

    /// One step, halved until all numbers are positive and `f` does not rise.
    fn newton(&self, y: &Array1<f64>) -> Option<Array1<f64>> {
        let power = y.mapv(|v| v.powf(-1.0 / self.a));
        let slope = self.matrix.dot(y) - &self.price * &power;
        let curve = &self.price * &power / y / self.a;
        let step = solve_spd(&(&self.matrix + &Array2::from_diag(&curve)), &slope)?;
        let now = self.value(y);
        let candidates = (0..60).map(|halvings| y - &(&step * 0.5f64.powi(halvings)));
        let good = |y: &Array1<f64>| {
            y.iter().all(|v| *v > 0.0) && self.value(y) <= now + 1e-14 * (1.0 + now.abs())
        };
        candidates.into_iter().find(good)
    }

    fn value(&self, y: &Array1<f64>) -> f64 {
        let phi = |v: f64| {
            let power = 1.0 - 1.0 / self.a;
            if power == 0.0 { v.ln() } else { v.powf(power) / power }
        };
        0.5 * y.dot(&self.matrix.dot(y)) - self.price.dot(&y.mapv(phi))
    }

    /// Largest relative error of the equation.
    fn residual(&self, y: &Array1<f64>) -> f64 {
        let balance = self.matrix.dot(y) / &self.price * y.mapv(|v| v.powf(1.0 / self.a));
        balance.fold(0.0, |most: f64, v| most.max((v - 1.0).abs()))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::balancers::testing::random_rows;

    /// One coordinate after the other, by bisection: slow, and nothing like Newton's method.
    fn brute(gram: &Array2<f64>, a: f64) -> Array1<f64> {
        let mut x = Array1::<f64>::ones(gram.nrows());
        for _ in 0..20_000 {
            let before = x.clone();
            for i in 0..x.len() {
                let others = gram.row(i).dot(&x) - gram[[i, i]] * x[i];
                let excess = |v: f64| gram[[i, i]] * v + others - v.powf(-1.0 / a);
                let (mut low, mut high) = (1e-9_f64, 1e9_f64);
                for _ in 0..70 {
                    let middle = (low * high).sqrt();
                    *(if excess(middle) < 0.0 { &mut low } else { &mut high }) = middle;
                }
                x[i] = low;
            }
            if (&x - &before).iter().zip(&x).all(|(d, v)| d.abs() < 1e-12 * v) {
                break;
            }
        }
        x
    }

    #[test]
    fn solutions_agree_with_coordinate_descent() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 1 + seed as usize % 4, 6);
            let gram = rows.dot(&rows.t());
            let a = [1.0, 2.0, 0.5, 10.0][seed as usize % 4];
            let (found, expected) = (power_balance(&gram, a).unwrap(), brute(&gram, a));
            let close = found.iter().zip(&expected).all(|(x, y)| (x / y - 1.0).abs() < 1e-6);
            assert!(close, "{seed}: {found} {expected}");
        }
    }

    #[test]
    fn opposite_rows_have_no_solution() {
        for a in [0.5, 1.0, 2.0] {
            assert_eq!(power_balance(&arr2(&[[1.0, -1.0], [-1.0, 1.0]]), a), None);
        }
    }
}
