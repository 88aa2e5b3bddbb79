//! SDMGrad (Xiao, Ban, Ji, Direction-oriented Multi-objective Learning, NeurIPS 2023,
//! arXiv 2305.18409).

use ndarray::{Array1, Array2};
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_not_negative, expect_positive};
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::{min_norm, project};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// `d = J_0^T (w + lambda / T) / (1 + lambda)`: between MGDA (0) and the mean (large `lambda`).
///
/// `w` minimises `1/2 (w + lambda/T)^T A (w + lambda/T)` over the simplex, `A = J_1 J_2^T` of two
/// batches independent of each other and of `J_0` ([`Gram::cross`]); one batch for all three is
/// cheaper and biased.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sdmgrad {
    /// How much the mean counts; the authors' class has 0.6.
    pub lambda: f64,
    /// Batches of a step: 3, or 1, whose task gradients then serve as all three. A step with a task
    /// that has no labels in one of the two extra batches is one of 1.
    pub batches: u32,
    /// How `w` is found.
    pub solver: SdmgradSolver,
    /// Iterations of the released solver.
    pub steps: u32,
    /// Learning rate of the released solver; 10 in the authors' runs.
    pub lr: f64,
    /// Momentum of the released solver.
    pub momentum: f64,
}

/// How SDMGrad's weights are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SdmgradSolver {
    /// The minimum for this step's matrix.
    Exact,
    /// Projected gradient steps on `A / (m^2 + 1e-8)`, `m` the mean length of task gradients, that
    /// go on from the last weights. They average over batches, and jump between corners where the
    /// matrix does not change.
    Released,
}

impl Default for Sdmgrad {
    fn default() -> Self {
        Self {
            lambda: 0.3,
            batches: 3,
            solver: SdmgradSolver::Exact,
            steps: 20,
            lr: 5.0,
            momentum: 0.5,
        }
    }
}

impl Part for Sdmgrad {
    const NAME: &'static str = "sdmgrad";
    const SUMMARY: &'static str = "between MGDA and the mean, by independent batches";

    fn example() -> Self {
        Sdmgrad::default()
    }
}

impl BalancerPart for Sdmgrad {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Xiao et al., NeurIPS 2023, arXiv 2305.18409"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn needs(&self) -> &'static str {
        "Gram matrix, two extra batches"
    }

    fn cost(&self) -> &'static str {
        "3T backwards, 3T x P numbers; a third with batches = 1"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram((*self).build(num_tasks)?))
    }
}

impl Sdmgrad {
    fn build(self, num_tasks: usize) -> Result<Directed> {
        expect_not_negative("lambda", self.lambda)?;
        let batches = f64::from(self.batches);
        expect([1, 3].contains(&self.batches), "batches", "1 or 3", batches)?;
        expect(self.steps > 0, "steps", "at least 1", f64::from(self.steps))?;
        expect_positive("lr", self.lr)?;
        expect(
            (0.0..1.0).contains(&self.momentum),
            "momentum",
            "at least 0, below 1",
            self.momentum,
        )?;
        let uniform = vec![1.0 / num_tasks as f64; num_tasks];
        let state = State::new([("weights", uniform), ("velocity", vec![0.0; num_tasks])]);
        Ok(Directed { config: self, num_tasks, state })
    }
}

/// The last weights and their velocity.
#[derive(Debug)]
pub(crate) struct Directed {
    config: Sdmgrad,
    num_tasks: usize,
    state: State,
}

impl Directed {
    /// With `M = I + lambda/T 1 1^T`, `M w` is `w + lambda/T` on the simplex.
    fn exact(&self, a: &Array2<f64>) -> Array1<f64> {
        let share = self.config.lambda / a.nrows() as f64;
        let m = Array2::eye(a.nrows()) + share;
        min_norm(&m.dot(a).dot(&m))
    }

    fn released(&mut self, a: &Array2<f64>, tasks: &[usize]) -> Array1<f64> {
        let size = a.diag().mapv(|v| v.max(0.0).sqrt()).sum() / a.nrows() as f64;
        let a = a / (size * size + 1e-8);
        let of = |name: &str| tasks.iter().map(|task| self.state[name][*task]).collect();
        let (mut w, mut velocity): (Array1<f64>, Array1<f64>) = (of("weights"), of("velocity"));
        w = project(&w);
        for _ in 0..self.config.steps {
            let slope = a.dot(&(&w + self.config.lambda / a.nrows() as f64));
            velocity = velocity * self.config.momentum + slope;
            w = project(&(w - &velocity * self.config.lr));
        }
        for (at, task) in tasks.iter().enumerate() {
            self.state["weights"][*task] = w[at];
            self.state["velocity"][*task] = velocity[at];
        }
        w
    }

    fn simplex_weights(&mut self, a: &Array2<f64>, tasks: &[usize]) -> Array1<f64> {
        match self.config.solver {
            SdmgradSolver::Exact => self.exact(a),
            SdmgradSolver::Released => self.released(a, tasks),
        }
    }
}

impl GramAggregator for Directed {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.num_tasks)?;
        let w = self.simplex_weights(gram.of(info)?, info.tasks());
        let (lambda, share) = (self.config.lambda, self.config.lambda / info.len() as f64);
        Ok(w.iter().map(|w| (w + share) / (1.0 + lambda)).collect())
    }

    fn extra_batches(&self) -> usize {
        self.config.batches as usize - 1
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
    use ndarray::{Axis, arr1};

    use super::*;
    use crate::balancers::solve::solve_spd;
    use crate::balancers::testing::{
        agree, direction, gram, j2, j3, random_rows, refusal, rows2, rows3, subsets, weights,
    };

    fn init(solver: SdmgradSolver, tasks: usize) -> Directed {
        Sdmgrad { solver, ..Sdmgrad::default() }.build(tasks).unwrap()
    }

    #[test]
    fn exact_weights_are_those_printed() {
        let mut two = init(SdmgradSolver::Exact, 2);
        agree(&two.simplex_weights(j2().matrix(), &[0, 1]).to_vec(), &[0.63, 0.37]);
        agree(&direction(&rows2(), &weights(&mut two, &j2())), &[0.0, 1.0, 1.0]);
        let mut three = init(SdmgradSolver::Exact, 3);
        let w = three.simplex_weights(j3().matrix(), &[0, 1, 2]);
        agree(&w.to_vec(), &[0.411001, 0.478029, 0.110970]);
        let d = direction(&rows3(), &weights(&mut three, &j3()));
        agree(&d, &[0.191209, 0.381521, 0.457960, 0.111072]);
    }

    #[test]
    fn released_iterations_are_those_printed() {
        let mut two = init(SdmgradSolver::Released, 2);
        agree(&direction(&rows2(), &weights(&mut two, &j2())), &[4.846154, 1.0, 1.0]);
        agree(&two.state().unwrap()["weights"], &[0.0, 1.0]);
        let mut three = init(SdmgradSolver::Released, 3);
        weights(&mut three, &j3());
        agree(&three.state().unwrap()["weights"], &[0.235325, 0.0, 0.764675]);
    }

    /// The least value of all sets of task gradients whose minimum on their plane is non-negative.
    fn brute(a: &Array2<f64>, share: f64) -> f64 {
        let of = |set: Vec<usize>| {
            let part = a.select(Axis(0), &set).select(Axis(1), &set);
            let slope = (a.sum_axis(Axis(1)) * share).select(Axis(0), &set);
            let (p, q) = (solve_spd(&part, &Array1::ones(set.len()))?, solve_spd(&part, &slope)?);
            let w = &p * ((1.0 + q.sum()) / p.sum()) - &q;
            let mut all = Array1::from_elem(a.nrows(), share);
            set.iter().zip(&w).for_each(|(i, w)| all[*i] += w);
            w.iter().all(|w| *w >= 0.0).then(|| all.dot(&a.dot(&all)))
        };
        subsets(a.nrows()).into_iter().filter_map(of).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn exact_weights_are_those_of_the_best_active_set() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 5;
            let gram = gram(&random_rows(seed, tasks, 6));
            let lambda = [0.0, 0.3, 2.0][seed as usize % 3];
            let mut balancer = Sdmgrad { lambda, ..Sdmgrad::default() }.build(tasks).unwrap();
            let w = weights(&mut balancer, &gram);
            assert!((arr1(&w).sum() - 1.0).abs() < 1e-12);
            let found = (gram.norm_of(&w) * (1.0 + lambda)).powi(2);
            let expected = brute(gram.matrix(), lambda / tasks as f64);
            assert!((found - expected).abs() < 1e-9 * expected, "{seed}: {found} {expected}");
        }
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Sdmgrad>(r#"{"lr": 0}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found 0");
        let found = refusal::<Sdmgrad>(r#"{"batches": 2}"#);
        assert_eq!(found, "batches: expected 1 or 3, found 2");
    }
}
