//! Projecting conflicting gradients (Yu et al., Gradient Surgery, NeurIPS 2020, arXiv 2001.06782).

use ndarray::{Array1, Array2};
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::gradient::orders::orders;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// `d = sum_i h_i`; `h_i` is `g_i` less its part along every `g_j` that it then conflicts with.
///
/// The `j` come in a random order, the `g_j` are always the original ones. Every `h_i` is a
/// combination of task gradients, so the Gram matrix is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pcgrad {}

impl Part for Pcgrad {
    const NAME: &'static str = "pcgrad";
    const SUMMARY: &'static str = "conflicting parts of task gradients are projected away";

    fn example() -> Self {
        Pcgrad::default()
    }
}

impl BalancerPart for Pcgrad {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Yu et al., NeurIPS 2020, arXiv 2001.06782"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn is_random(&self) -> bool {
        true
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(*self))
    }
}

impl GramAggregator for Pcgrad {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        let gram = gram.of(info)?;
        Ok(surgery(gram, &orders(info)))
    }
}

fn surgery(gram: &Array2<f64>, orders: &[Vec<usize>]) -> Vec<f64> {
    let mut sum = Array1::zeros(gram.nrows());
    for (i, order) in orders.iter().enumerate() {
        let mut coefficients = Array1::zeros(gram.nrows());
        coefficients[i] = 1.0;
        for j in order {
            let product = gram.row(*j).dot(&coefficients);
            if product < 0.0 {
                coefficients[*j] -= product / gram[[*j, *j]];
            }
        }
        sum += &coefficients;
    }
    sum.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{
        agree, close, direction, info, j2, j3, jp, random_rows, rows2, rows3, weights,
    };

    fn ascending(tasks: usize) -> Vec<Vec<usize>> {
        (0..tasks).map(|i| (0..tasks).filter(|j| *j != i).collect()).collect()
    }

    fn descending(tasks: usize) -> Vec<Vec<usize>> {
        ascending(tasks).into_iter().map(|order| order.into_iter().rev().collect()).collect()
    }

    #[test]
    fn weights_are_those_printed() {
        let w = weights(&mut Pcgrad {}, &j2());
        agree(&w, &[2.222222, 1.578947]);
        agree(&direction(&rows2(), &w), &[0.584795, 3.801170, 3.801170]);
        let w = surgery(j3().matrix(), &ascending(3));
        agree(&w, &[1.356589, 1.943384, 1.253465]);
        agree(&direction(&rows3(), &w), &[0.691945, 0.616135, 3.089945, 0.522011]);
        let w = surgery(j3().matrix(), &descending(3));
        agree(&w, &[1.474072, 1.969680, 1.236686]);
        agree(&direction(&rows3(), &w), &[0.786939, 0.728017, 3.064277, 0.542152]);
        agree(&weights(&mut Pcgrad {}, &jp()), &[1.0, 1.0]);
    }

    #[test]
    fn coefficients_stand_for_vectors() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 4, 5);
            let orders = orders(&info(&[1.0; 4]));
            let mut expected = Array1::<f64>::zeros(5);
            for (i, order) in orders.iter().enumerate() {
                let mut h = rows.row(i).to_owned();
                for j in order {
                    let product = h.dot(&rows.row(*j));
                    if product < 0.0 {
                        h -= &(product / rows.row(*j).dot(&rows.row(*j)) * &rows.row(*j));
                    }
                }
                expected += &h;
            }
            let found = direction(&rows, &surgery(&rows.dot(&rows.t()), &orders));
            close(&found, &expected.to_vec(), 1e-10);
        }
    }
}
