//! Conflict-averse gradient descent (Liu et al., NeurIPS 2021, arXiv 2110.14048).

use ndarray::{Array1, Array2, Axis};
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_not_negative};
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::{min_norm, solve_spd};
use crate::balancers::step_info::StepInfo;

/// `d = g_0 + c |g_0| g_w / |g_w|`: near the mean `g_0`, best for the task that gains least.
///
/// `w` is the minimum of `g_w . g_0 + c |g_0| |g_w|` over the simplex, `g_w = J^T w`, found
/// exactly and on `G / trace`, so that tiny adapter gradients count like large ones. `c = 0` is
/// the mean; a large `c` turns `d` to MGDA's. Where `g_0` or `g_w` is 0, `d` is `g_0`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cagrad {
    /// How far `d` may go from the mean, in its length; 0.4 in the authors' dense runs.
    pub c: f64,
    /// What `d` is divided by: 0 nothing, 1 `1 + c^2`, 2 `1 + c`.
    pub rescale: u8,
}

impl Default for Cagrad {
    fn default() -> Self {
        Self { c: 0.5, rescale: 1 }
    }
}

impl Part for Cagrad {
    const NAME: &'static str = "cagrad";
    const SUMMARY: &'static str = "near the mean, the best direction for the task that gains least";

    fn example() -> Self {
        Cagrad::default()
    }
}

impl BalancerPart for Cagrad {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Liu et al., NeurIPS 2021, arXiv 2110.14048"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        self.validate()?;
        Ok(Method::gram(*self))
    }
}

impl Cagrad {
    pub(crate) fn validate(&self) -> Result<()> {
        expect_not_negative("c", self.c)?;
        expect(self.rescale <= 2, "rescale", "0, 1 or 2", f64::from(self.rescale))
    }

    fn divisor(&self) -> f64 {
        match self.rescale {
            0 => 1.0,
            1 => 1.0 + self.c * self.c,
            _ => 1.0 + self.c,
        }
    }
}

impl GramAggregator for Cagrad {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let problem = Problem::new(gram.by_trace().0, self.c);
        let w = problem.minimum();
        let length = problem.length(&w);
        let pull = if length > 1e-9 { problem.radius / length } else { 0.0 };
        let mean = 1.0 / info.len() as f64;
        Ok(w.iter().map(|w| (mean + pull * w) / self.divisor()).collect())
    }
}

/// `w . b + radius |g_w|` over the simplex, `b_i = g_i . g_0`.
struct Problem {
    gram: Array2<f64>,
    b: Array1<f64>,
    mean_square: f64,
    radius: f64,
}

impl Problem {
    fn new(gram: Array2<f64>, c: f64) -> Self {
        let uniform = Array1::from_elem(gram.nrows(), 1.0 / gram.nrows() as f64);
        let b = gram.dot(&uniform);
        let mean_square = b.dot(&uniform).max(0.0);
        Self { radius: c * mean_square.sqrt(), gram, b, mean_square }
    }

    fn length(&self, w: &Array1<f64>) -> f64 {
        w.dot(&self.gram.dot(w)).max(0.0).sqrt()
    }

    /// `radius |g|` is the minimum over `s` of `(radius^2 s + |g|^2 / s) / 2`. For a given `s` the
    /// best `w` is the point of the hull nearest to `-s g_0`, and `|g_w| / s` falls with `s`, so
    /// the `s` where it is `radius` is found by turns of `s = |g_w| / radius` and halving. The task
    /// gradients in use there give `w` exactly.
    fn minimum(&self) -> Array1<f64> {
        let mut w = Array1::from_elem(self.b.len(), 1.0 / self.b.len() as f64);
        if self.radius <= 0.0 {
            return w;
        }
        let longest = self.gram.diag().fold(0.0, |most: f64, v| most.max(*v)).sqrt();
        let (mut low, mut high) = (1e-12 * longest / self.radius, longest / self.radius);
        let mut s = self.length(&w) / self.radius;
        for turn in 0..120 {
            w = min_norm(&self.shifted(s));
            if let Some(exact) = self.exact(&w) {
                return exact;
            }
            let ratio = self.length(&w) / self.radius;
            *(if ratio > s { &mut low } else { &mut high }) = s;
            let between = turn % 2 == 0 && low < ratio && ratio < high;
            s = if between { ratio } else { (low * high).sqrt() };
        }
        w
    }

    /// The Gram matrix of `g_i + s g_0`.
    fn shifted(&self, s: f64) -> Array2<f64> {
        let products = &self.b.view().insert_axis(Axis(0)) + &self.b.view().insert_axis(Axis(1));
        &self.gram + &(products * s) + s * s * self.mean_square
    }

    /// The minimum among the task gradients that `w` uses, if it is that of all task gradients.
    ///
    /// Its condition `b + radius G w / |g_w| = m 1` gives `w = s (m p - q)` with `G p = 1`,
    /// `G q = b`; `sum w = 1` and `|g_w| = radius s` then fix `m` and `s`.
    fn exact(&self, w: &Array1<f64>) -> Option<Array1<f64>> {
        let used: Vec<usize> = (0..w.len()).filter(|i| w[*i] > 0.0).collect();
        let gram = self.gram.select(Axis(0), &used).select(Axis(1), &used);
        let b = self.b.select(Axis(0), &used);
        let (p, q) = (solve_spd(&gram, &Array1::ones(used.len()))?, solve_spd(&gram, &b)?);
        let root = q.sum().powi(2) - p.sum() * (b.dot(&q) - self.radius * self.radius);
        if root <= 0.0 {
            return None;
        }
        let m = (q.sum() + root.sqrt()) / p.sum();
        let part = (p * m - q) / root.sqrt();
        let mut w = Array1::zeros(w.len());
        used.iter().zip(part).for_each(|(i, part)| w[*i] = part);
        self.is_minimum(&w, m).then_some(w)
    }

    fn is_minimum(&self, w: &Array1<f64>, m: f64) -> bool {
        let slopes = &self.b + &(self.gram.dot(w) * (self.radius / self.length(w)));
        let tolerance = 1e-12 * (m.abs() + self.radius);
        w.iter().all(|w| *w >= 0.0) && slopes.iter().all(|slope| *slope >= m - tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{
        agree, direction, gram, j2, j3, jp, random_rows, rows_p, rows2, rows3, subsets, weights,
    };

    fn d(rows: &Array2<f64>, c: f64, rescale: u8) -> Vec<f64> {
        direction(rows, &weights(&mut Cagrad { c, rescale }, &gram(rows)))
    }

    #[test]
    fn directions_are_those_printed() {
        agree(&d(&rows2(), 0.4, 0), &[0.346803, 1.163299, 1.163299]);
        agree(&d(&rows2(), 0.4, 1), &[0.298968, 1.002844, 1.002844]);
        agree(&d(&rows2(), 0.5, 0), &[0.183503, 1.204124, 1.204124]);
        agree(&d(&rows2(), 0.5, 1), &[0.146803, 0.963299, 0.963299]);
        agree(&d(&rows3(), 0.4, 0), &[0.227310, 0.283417, 0.844304, 0.156517]);
        agree(&d(&rows3(), 0.4, 1), &[0.195957, 0.244325, 0.727848, 0.134928]);
        agree(&d(&rows3(), 0.5, 0), &[0.254565, 0.365828, 0.860177, 0.168317]);
        agree(&d(&rows3(), 0.5, 1), &[0.203652, 0.292663, 0.688142, 0.134654]);
        agree(&d(&rows_p(), 0.4, 0), &[1.969042, 0.969042, 0.5]);
    }

    #[test]
    fn simplex_weights_are_those_printed() {
        let w = |gram: &Gram, c| Problem::new(gram.by_trace().0, c).minimum().to_vec();
        agree(&w(&j2(), 0.4), &[1.0, 0.0]);
        agree(&w(&j3(), 0.4), &[0.309355, 0.690645, 0.0]);
        agree(&w(&j3(), 0.5), &[0.359457, 0.640543, 0.0]);
        agree(&weights(&mut Cagrad { c: 0.0, rescale: 1 }, &jp()), &[0.5, 0.5]);
    }

    /// The least value at the exact minimum of any set of task gradients.
    fn brute(problem: &Problem) -> f64 {
        let of = |set: Vec<usize>| {
            let mut w = Array1::<f64>::zeros(problem.b.len());
            set.iter().for_each(|i| w[*i] = 1.0);
            // `exact` checks all task gradients; here the best set must show by its value alone.
            let rows = problem.gram.select(Axis(0), &set).select(Axis(1), &set);
            let part = Problem { gram: rows, b: problem.b.select(Axis(0), &set), ..*problem };
            let w = if set.len() == 1 {
                Array1::ones(1)
            } else {
                part.exact(&Array1::ones(set.len()))?
            };
            Some(part.value(&w))
        };
        subsets(problem.b.len()).into_iter().filter_map(of).fold(f64::INFINITY, f64::min)
    }

    impl Problem {
        fn value(&self, w: &Array1<f64>) -> f64 {
            self.b.dot(w) + self.radius * self.length(w)
        }
    }

    #[test]
    fn the_minimum_is_that_of_the_best_active_set() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 5;
            let c = [0.1, 0.4, 0.9, 2.0][seed as usize % 4];
            let rows = random_rows(seed, tasks, 6);
            let problem = Problem::new(gram(&rows).by_trace().0, c);
            let w = problem.minimum();
            let (found, expected) = (problem.value(&w), brute(&problem));
            assert!((found - expected).abs() < 1e-9, "{seed}: {found} {expected}");
            let d = Array1::from_vec(d(&rows, c, 0));
            let mean = rows.mean_axis(Axis(0)).unwrap();
            let (away, length) = ((&d - &mean).dot(&(&d - &mean)).sqrt(), mean.dot(&mean).sqrt());
            assert!((away - c * length).abs() < 1e-9, "{seed}: {away} is not {c} of {length}");
        }
    }

    #[test]
    fn more_rows_than_dimensions_are_no_trouble() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 5, 2);
            let problem = Problem::new(gram(&rows).by_trace().0, 0.5);
            let w = problem.minimum();
            let value = problem.value(&w);
            for other in 0..200 {
                let z = random_rows(seed * 1000 + other, 1, 5).row(0).mapv(|z| (3.0 * z).exp());
                assert!(problem.value(&(&z / z.sum())) >= value - 1e-9, "{seed}");
            }
        }
    }

    #[test]
    fn constants_are_checked() {
        let message = |config: Cagrad| config.validate().unwrap_err().to_string();
        let found = message(Cagrad { c: -1.0, rescale: 1 });
        assert_eq!(found, "c: expected a finite number of 0 or more, found -1");
        assert_eq!(message(Cagrad { c: 0.4, rescale: 3 }), "rescale: expected 0, 1 or 2, found 3");
    }
}
