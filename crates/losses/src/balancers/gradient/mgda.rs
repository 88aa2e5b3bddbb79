//! Multiple gradient descent (Désidéri 2012; Sener and Koltun, NeurIPS 2018, arXiv 1810.04650).

use ndarray::Array1;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method, PrivateGrad};
use crate::balancers::solve::min_norm;
use crate::balancers::step_info::StepInfo;

/// `d` is the shortest vector in the convex hull of the task gradients; no task gets worse along
/// `-d`.
///
/// The weights are solved exactly, where releases walk by Frank and Wolfe's method to 3 or 4
/// digits. With a normalisation they are those of normalised task gradients, applied to the task
/// gradients themselves, as by the original code. [`MgdaUb`](crate::balancers::gradient::mgda_ub::MgdaUb) is its
/// cheaper form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mgda {
    /// What task gradients are divided by before the weights are sought.
    pub normalization: Normalization,
}

/// What a task gradient is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// 1.
    #[default]
    None,
    /// `n_i`; a task gradient of length 0 stays.
    L2,
    /// `L_i`, at least 1e-8.
    Loss,
    /// `L_i n_i`.
    LossPlus,
}

impl Part for Mgda {
    const NAME: &'static str = "mgda";
    const SUMMARY: &'static str = "the shortest vector in the convex hull of the task gradients";

    fn example() -> Self {
        Mgda::default()
    }
}

impl BalancerPart for Mgda {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Sener, Koltun, NeurIPS 2018, arXiv 1810.04650"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn private_grad(&self) -> PrivateGrad {
        PrivateGrad::Weighted
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(*self))
    }
}

impl Mgda {
    fn divisors(self, gram: &Gram, info: &StepInfo) -> Result<Array1<f64>> {
        let norms = || gram.norms().mapv(|n| if n > 0.0 { n } else { 1.0 });
        let losses = || Ok::<_, crate::Error>(Array1::from_vec(info.positive()?));
        Ok(match self.normalization {
            Normalization::None => Array1::ones(info.len()),
            Normalization::L2 => norms(),
            Normalization::Loss => losses()?,
            Normalization::LossPlus => losses()? * norms(),
        })
    }
}

impl GramAggregator for Mgda {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let factors = self.divisors(gram, info)?.mapv(|divisor| 1.0 / divisor);
        Ok(min_norm(gram.scaled(&factors.to_vec()).matrix()).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, arr1};

    use super::*;
    use crate::balancers::solve::solve_spd;
    use crate::balancers::testing::{
        agree, cosine, direction, gram, j2, j3, jp, never_harms, of_a_larger_loss, random_rows,
        rows_p, rows2, rows3, subsets, weights,
    };

    fn l2() -> Mgda {
        Mgda { normalization: Normalization::L2 }
    }

    #[test]
    fn weights_are_those_printed() {
        let w = weights(&mut Mgda::default(), &j2());
        agree(&w, &[0.6, 0.4]);
        agree(&direction(&rows2(), &w), &[0.0, 1.0, 1.0]);
        agree(&weights(&mut l2(), &j2()), &[0.5, 0.5]);
        let w = weights(&mut Mgda::default(), &j3());
        agree(&w, &[0.393078, 0.444638, 0.162284]);
        agree(&direction(&rows3(), &w), &[0.191209, 0.381521, 0.457960, 0.111072]);
        agree(&[j3().norm_of(&w).powi(2)], &[0.404184]);
        agree(&weights(&mut l2(), &j3()), &[0.267008, 0.361830, 0.371162]);
        agree(&direction(&rows_p(), &weights(&mut Mgda::default(), &jp())), &[1.0, 1.0, 0.0]);
    }

    #[test]
    fn weights_of_a_representation_differ_from_those_of_parameters() {
        let jacobian = Array2::from_diag(&arr1(&[1.0, 2.0, 0.5, 1.0]));
        let rows = rows3().dot(&jacobian);
        let w = weights(&mut Mgda::default(), &j3());
        agree(&direction(&rows, &w), &[0.191209, 0.763043, 0.228980, 0.111072]);
        let w = weights(&mut Mgda::default(), &gram(&rows));
        agree(&w, &[0.217981, 0.455335, 0.326683]);
    }

    #[test]
    fn losses_divide_rows() {
        let loss = |normalization| weights(&mut Mgda { normalization }, &j3());
        let by_loss = gram(&(rows3() / arr1(&[2.0, 0.5, 1.0]).insert_axis(Axis(1))));
        agree(&loss(Normalization::Loss), &weights(&mut Mgda::default(), &by_loss));
        agree(&loss(Normalization::LossPlus), &{
            let unit = &rows3() / &j3().norms().insert_axis(Axis(1));
            weights(
                &mut Mgda::default(),
                &gram(&(unit / arr1(&[2.0, 0.5, 1.0]).insert_axis(Axis(1)))),
            )
        });
    }

    /// The best of all sets of task gradients whose affine hull is nearest to 0 inside their convex
    /// hull.
    fn brute(g: &Array2<f64>) -> f64 {
        let of = |set: Vec<usize>| {
            let part = g.select(Axis(0), &set).select(Axis(1), &set);
            let w = match set.len() {
                1 => arr1(&[1.0]),
                _ => solve_spd(&part, &Array1::ones(set.len()))?,
            };
            let w = &w / w.sum();
            w.iter().all(|v| *v >= 0.0).then(|| w.dot(&part.dot(&w)))
        };
        subsets(g.nrows()).into_iter().filter_map(of).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_length_is_that_of_the_best_active_set() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 6;
            let gram = gram(&random_rows(seed, tasks, 7));
            let w = weights(&mut Mgda::default(), &gram);
            let (found, expected) = (gram.norm_of(&w).powi(2), brute(gram.matrix()));
            assert!((found - expected).abs() < 1e-10 * expected, "{seed}: {found} {expected}");
            assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12 && w.iter().all(|v| *v >= 0.0));
            // No task gradient has a smaller product with d than d itself.
            let products = gram.matrix().dot(&Array1::from_vec(w));
            assert!(products.iter().all(|v| *v >= found * (1.0 - 1e-8)), "{seed}");
        }
    }

    #[test]
    fn no_task_is_harmed() {
        never_harms(Mgda::default());
    }

    #[test]
    fn a_larger_loss_turns_to_the_other_gradients() {
        let [plain, larger] = of_a_larger_loss(|| Mgda::default().init(3).unwrap());
        let first = [1.0, 0.5, 0.0, 0.2];
        assert!(cosine(&larger, &first) < cosine(&plain, &first));
    }
}
