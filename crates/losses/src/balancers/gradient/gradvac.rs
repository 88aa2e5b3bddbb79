//! Gradient vaccine (Wang et al., ICLR 2021, arXiv 2010.05874).

use ndarray::{Array1, Array2};
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_fraction;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::gradient::orders::orders;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// No target cosine comes nearer to 1: reaching one would take an infinite part of another task
/// gradient.
const LARGEST_COSINE: f64 = 1.0 - 1e-6;

/// `d = sum_i h_i`; `h_i` gets as much of every `g_j` as brings their cosine up to its usual value.
///
/// With `phi` the cosine of `h_i` and `g_j` before the change and `u_ij` its moving average:
/// where `phi < u`, `h += g_j |h| (u sqrt(1 - phi^2) - phi sqrt(1 - u^2)) / (|g_j| sqrt(1 - u^2))`;
/// then `u <- (1 - beta) u + beta phi`. Averages start at 0, where the first step is PCGrad's.
/// A task gradient of length 0 takes no part. Groups of parameters: one aggregator for each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gradvac {
    /// Weight of the newest cosine; LibMTL's 0.5.
    pub beta: f64,
}

impl Default for Gradvac {
    fn default() -> Self {
        Self { beta: 0.5 }
    }
}

impl Part for Gradvac {
    const NAME: &'static str = "gradvac";
    const SUMMARY: &'static str =
        "gradient vaccine: task gradients are brought to their usual cosines";

    fn example() -> Self {
        Gradvac::default()
    }
}

impl BalancerPart for Gradvac {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Wang et al., ICLR 2021, arXiv 2010.05874"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn is_random(&self) -> bool {
        true
    }

    fn is_bounded(&self) -> bool {
        false
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram((*self).build(num_tasks)?))
    }
}

impl Gradvac {
    fn build(self, num_tasks: usize) -> Result<Vaccine> {
        expect_fraction("beta", self.beta)?;
        let state = State::new([("cosines", vec![0.0; num_tasks * num_tasks])]);
        Ok(Vaccine { beta: self.beta, num_tasks, state })
    }
}

/// The usual cosines, `[T, T]`.
#[derive(Debug)]
pub(crate) struct Vaccine {
    beta: f64,
    num_tasks: usize,
    state: State,
}

impl Vaccine {
    fn combine(&mut self, gram: &Array2<f64>, tasks: &[usize], orders: &[Vec<usize>]) -> Vec<f64> {
        let mut sum = Array1::zeros(gram.nrows());
        for (i, order) in orders.iter().enumerate() {
            let mut h = Array1::zeros(gram.nrows());
            h[i] = 1.0;
            for j in order {
                let at = tasks[i] * self.num_tasks + tasks[*j];
                self.raise(gram, &mut h, *j, at);
            }
            sum += &h;
        }
        sum.to_vec()
    }

    /// Brings the cosine of `h` and task gradient `j` up to the usual one, which stands at `at`.
    fn raise(&mut self, gram: &Array2<f64>, h: &mut Array1<f64>, j: usize, at: usize) {
        let norm = h.dot(&gram.dot(h)).max(0.0).sqrt();
        let other = gram[[j, j]].sqrt();
        if norm == 0.0 || other == 0.0 {
            return;
        }
        let phi = (gram.row(j).dot(h) / (norm * other)).clamp(-1.0, 1.0);
        let usual = self.state["cosines"][at];
        if phi < usual {
            let usual = usual.clamp(-LARGEST_COSINE, LARGEST_COSINE);
            let (sine, usual_sine) = ((1.0 - phi * phi).sqrt(), (1.0 - usual * usual).sqrt());
            h[j] += norm * (usual * sine - phi * usual_sine) / (other * usual_sine);
        }
        self.state["cosines"][at] = (1.0 - self.beta) * usual + self.beta * phi;
    }
}

impl GramAggregator for Vaccine {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.num_tasks)?;
        let gram = gram.of(info)?;
        Ok(self.combine(gram, info.tasks(), &orders(info)))
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{
        agree, close, direction, gram, info_of, j2, j3, jp, random_rows, rows2, rows3, weights,
    };

    fn ascending(tasks: usize) -> Vec<Vec<usize>> {
        (0..tasks).map(|i| (0..tasks).filter(|j| *j != i).collect()).collect()
    }

    fn step(balancer: &mut Vaccine, gram: &Gram) -> Vec<f64> {
        let tasks = gram.matrix().nrows();
        let all: Vec<usize> = (0..tasks).collect();
        balancer.combine(gram.matrix(), &all, &ascending(tasks))
    }

    #[test]
    fn two_steps_are_those_printed() {
        let mut balancer = Gradvac::default().build(2).unwrap();
        agree(&step(&mut balancer, &j2()), &[2.222222, 1.578947]);
        agree(&balancer.state["cosines"][1..3], &[-0.420596; 2]);
        let w = step(&mut balancer, &j2());
        agree(&w, &[1.857988, 1.406415]);
        agree(&direction(&rows2(), &w), &[1.006540, 3.264403, 3.264403]);
        agree(&balancer.state["cosines"][1..3], &[-0.630893; 2]);

        let mut balancer = Gradvac::default().build(3).unwrap();
        agree(&step(&mut balancer, &j3()), &[1.356589, 1.943384, 1.253465]);
        let w = step(&mut balancer, &j3());
        agree(&w, &[1.179155, 1.489872, 1.124552]);
        agree(&direction(&rows3(), &w), &[0.735053, 0.280166, 2.696065, 0.460741]);
        agree(&weights(&mut Gradvac::default().build(2).unwrap(), &jp()), &[1.0, 1.0]);
    }

    #[test]
    fn coefficients_stand_for_vectors() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 3, 4);
            let mut balancer = Gradvac::default().build(3).unwrap();
            let mut usual = Array2::<f64>::zeros((3, 3));
            for _ in 0..2 {
                let found = direction(&rows, &step(&mut balancer, &gram(&rows)));
                close(&found, &vectors(&rows, &mut usual).to_vec(), 1e-8);
            }
        }
    }

    fn vectors(rows: &Array2<f64>, usual: &mut Array2<f64>) -> Array1<f64> {
        let norm = |v: &Array1<f64>| v.dot(v).sqrt();
        let mut sum = Array1::zeros(rows.ncols());
        for (i, order) in ascending(rows.nrows()).iter().enumerate() {
            let mut h = rows.row(i).to_owned();
            for j in order {
                let other = rows.row(*j).to_owned();
                let phi = h.dot(&other) / norm(&h) / norm(&other);
                let u = usual[[i, *j]];
                if phi < u {
                    let rise = u * (1.0 - phi * phi).sqrt() - phi * (1.0 - u * u).sqrt();
                    h = &h + &(&other * (norm(&h) * rise / norm(&other) / (1.0 - u * u).sqrt()));
                }
                usual[[i, *j]] = 0.5 * u + 0.5 * phi;
            }
            sum += &h;
        }
        sum
    }

    #[test]
    fn a_usual_cosine_of_1_stays_finite() {
        let mut balancer = Gradvac { beta: 1.0 }.build(2).unwrap();
        let equal = gram(&ndarray::arr2(&[[1.0, 2.0], [1.0, 2.0]]));
        step(&mut balancer, &equal);
        let w = balancer.weights(&j2(), &info_of(&j2())).unwrap();
        assert!(w.iter().all(|v| v.is_finite()), "{w:?}");
    }
}
