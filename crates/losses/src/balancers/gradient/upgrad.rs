//! UPGrad (Quinton and Rey, Jacobian Descent, 2024, arXiv 2406.16232).

use ndarray::Array1;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_not_negative;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::cone::{projected, regularized};
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// The mean of the task gradients, each projected on the cone of directions that no task loses by.
///
/// `d . g_i >= 0` for all tasks; without conflict `d` is the mean of the task gradients. Solved
/// exactly; releases solve on `G / trace + 1e-4 I`, which `reg_eps` brings back.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upgrad {
    /// A matrix with a smaller trace counts as zeros, so that `d` is the mean; 1e-4 in releases.
    pub norm_eps: f64,
    /// What is added to the diagonal of `G / trace`; 1e-4 in releases.
    pub reg_eps: f64,
}

impl Part for Upgrad {
    const NAME: &'static str = "upgrad";
    const SUMMARY: &'static str = "the mean of task gradients, each projected on the dual cone";

    fn example() -> Self {
        Upgrad::default()
    }
}

impl BalancerPart for Upgrad {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Quinton, Rey, 2024, arXiv 2406.16232"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        self.validate()?;
        Ok(Method::gram(*self))
    }
}

impl Upgrad {
    pub(crate) fn validate(&self) -> Result<()> {
        expect_not_negative("norm_eps", self.norm_eps)?;
        expect_not_negative("reg_eps", self.reg_eps)
    }
}

impl GramAggregator for Upgrad {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let matrix = regularized(gram, self.norm_eps, self.reg_eps);
        let mut sum = Array1::zeros(info.len());
        for task in 0..info.len() {
            let mut row = Array1::zeros(info.len());
            row[task] = 1.0 / info.len() as f64;
            sum += &projected(&matrix, &row);
        }
        Ok(sum.to_vec())
    }
}

#[cfg(test)]
mod tests {
    // Printed digits may look like a constant.
    #![allow(clippy::approx_constant)]

    use ndarray::{Array2, Axis, arr1};

    use super::*;
    use crate::balancers::solve::solve_spd;
    use crate::balancers::testing::{
        agree, close, direction, gram, j2, j3, jp, never_harms, of_a_larger_loss, random_rows,
        rows_p, rows2, rows3, subsets, weights,
    };

    fn products(gram: &Gram, w: &[f64]) -> Vec<f64> {
        gram.matrix().dot(&arr1(w)).to_vec()
    }

    #[test]
    fn weights_are_those_printed() {
        let w = weights(&mut Upgrad::default(), &j2());
        agree(&w, &[1.111111, 0.789474]);
        agree(&direction(&rows2(), &w), &[0.292398, 1.900585, 1.900585]);
        agree(&products(&j2(), &w), &[2.631579, 5.555556]);
        let w = weights(&mut Upgrad::default(), &j3());
        agree(&w, &[0.492623, 0.671643, 0.422852]);
        agree(&direction(&rows3(), &w), &[0.258778, 0.241392, 1.047197, 0.183095]);
        agree(&products(&j3(), &w), &[0.416093, 0.400284, 1.848298]);
        let w = weights(&mut Upgrad::default(), &jp());
        agree(&direction(&rows_p(), &w), &[1.5, 0.5, 0.5]);
    }

    #[test]
    fn released_regularisation_is_that_printed() {
        let mut released = Upgrad { norm_eps: 1e-4, reg_eps: 1e-4 };
        let w = weights(&mut released, &j2());
        agree(&w, &[1.110921, 0.789431]);
        agree(&direction(&rows2(), &w), &[0.292902, 1.900352, 1.900352]);
        agree(&weights(&mut released, &j3()), &[0.492488, 0.671406, 0.422831]);
        let tiny = gram(&(rows2() * 1e-4));
        agree(&weights(&mut released, &tiny), &[0.5, 0.5]);
        agree(&weights(&mut Upgrad::default(), &tiny), &[1.111111, 0.789474]);
    }

    /// The shortest `J^T v` of all sets of coordinates that stand at their bound.
    fn brute(g: &Array2<f64>, u: &Array1<f64>) -> f64 {
        let of = |free: Vec<usize>| {
            let part = g.select(Axis(0), &free).select(Axis(1), &free);
            let step = solve_spd(&part, &(-g.dot(u)).select(Axis(0), &free))?;
            let mut v = u.clone();
            free.iter().zip(&step).for_each(|(i, step)| v[*i] += step);
            step.iter().all(|step| *step >= 0.0).then(|| v.dot(&g.dot(&v)))
        };
        subsets(u.len()).into_iter().filter_map(of).fold(u.dot(&g.dot(u)), f64::min)
    }

    #[test]
    fn projections_are_those_of_the_best_active_set() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 5;
            let gram = gram(&random_rows(seed, tasks, 6));
            let matrix = gram.by_trace().0;
            for task in 0..tasks {
                let mut u = Array1::zeros(tasks);
                u[task] = 1.0;
                let v = projected(&matrix, &u);
                let (found, expected) = (v.dot(&matrix.dot(&v)), brute(&matrix, &u));
                assert!((found - expected).abs() < 1e-11, "{seed}: {found} {expected}");
            }
            let w = weights(&mut Upgrad::default(), &gram);
            assert!(products(&gram, &w).iter().all(|v| *v >= -1e-8), "{seed}");
        }
    }

    #[test]
    fn for_two_tasks_it_is_half_of_pcgrad() {
        for seed in 0..100 {
            let gram = gram(&random_rows(seed, 2, 3));
            let half = weights(&mut crate::balancers::gradient::pcgrad::Pcgrad {}, &gram);
            agree(&weights(&mut Upgrad::default(), &gram), &[half[0] / 2.0, half[1] / 2.0]);
        }
    }

    #[test]
    fn no_task_is_harmed() {
        never_harms(Upgrad::default());
    }

    /// It scales that task's own projected gradient.
    #[test]
    fn a_larger_loss_scales_a_part_of_the_sum() {
        let [plain, larger] = of_a_larger_loss(|| Upgrad::default().init(3).unwrap());
        let difference = arr1(&larger) - arr1(&plain);
        let third = projected(j3().matrix(), &arr1(&[1.0 / 3.0, 0.0, 0.0]));
        close(&difference.to_vec(), &(rows3().t().dot(&third) * 9.0).to_vec(), 1e-9);
    }
}
