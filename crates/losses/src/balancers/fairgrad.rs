//! FairGrad (Ban and Ji, ICML 2024, arXiv 2402.15638), and what Nash-MTL shares with it.

use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::seam::expect_positive;
use crate::balancers::solve::power_balance;
use crate::balancers::{Batch, Gram, GramCombiner, State};

/// `d = J^T w` with `w > 0` and `G w = w^(-1/alpha)`: fair in the sense of `alpha`.
///
/// 1 is Nash-MTL without its limit of length; large values favour the task that gains least.
/// Rows of length 0 and Pareto-stationary points are treated as by Nash-MTL.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fairgrad {
    /// The kind of fairness, above 0.
    pub alpha: f64,
}

impl Default for Fairgrad {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Fairgrad {
    pub(crate) fn init(self, num_tasks: usize) -> Result<Fair> {
        expect_positive("alpha", self.alpha)?;
        Ok(Fair { alpha: self.alpha, bargain: Bargain::new(num_tasks) })
    }
}

/// The last weights.
#[derive(Debug)]
pub(crate) struct Fair {
    alpha: f64,
    bargain: Bargain,
}

impl GramCombiner for Fair {
    fn weights(&mut self, gram: &Gram, batch: &Batch) -> Result<Vec<f64>> {
        let alpha = self.alpha;
        self.bargain.weights(gram, batch, |matrix| solve(matrix, alpha))
    }

    fn state(&self) -> State {
        self.bargain.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.bargain.restore(state)
    }
}

/// The last weight of every task; 0 before there is one.
#[derive(Debug)]
pub(crate) struct Bargain(State);

impl Bargain {
    pub(crate) fn new(num_tasks: usize) -> Self {
        Self(State::new([("last", vec![0.0; num_tasks])]))
    }

    /// The solution, or the last weights where there is none.
    pub(crate) fn weights(
        &mut self,
        gram: &Gram,
        batch: &Batch,
        solve: impl Fn(&Array2<f64>) -> Option<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        batch.of(self.0["last"].len())?;
        match solve(gram.of(batch)?) {
            Some(weights) => {
                for (task, weight) in batch.tasks().iter().zip(&weights).filter(|(_, w)| **w > 0.0)
                {
                    self.0["last"][*task] = *weight;
                }
                Ok(weights)
            }
            None => Ok(self.last(batch).unwrap_or_else(|| inverse(&gram.norms()))),
        }
    }

    /// The last weights, if every task of the batch has had one.
    pub(crate) fn last(&self, batch: &Batch) -> Option<Vec<f64>> {
        let last: Option<Vec<f64>> =
            batch.tasks().iter().map(|task| self.0["last"].get(*task).copied()).collect();
        last.filter(|last| last.iter().all(|w| *w > 0.0))
    }

    pub(crate) fn state(&self) -> State {
        self.0.clone()
    }

    pub(crate) fn restore(&mut self, state: &State) -> Result<()> {
        self.0.restore(state)
    }
}

/// [`power_balance`] of the rows longer than 0; the others have weight 0.
pub(crate) fn solve(gram: &Array2<f64>, alpha: f64) -> Option<Vec<f64>> {
    let long: Vec<usize> = (0..gram.nrows()).filter(|i| gram[[*i, *i]] > 0.0).collect();
    let part = gram.select(Axis(0), &long).select(Axis(1), &long);
    let mut weights = vec![0.0; gram.nrows()];
    if !long.is_empty() {
        let found = power_balance(&part, alpha)?;
        long.iter().zip(found).for_each(|(i, w)| weights[*i] = w);
    }
    Some(weights)
}

fn inverse(norms: &Array1<f64>) -> Vec<f64> {
    norms.iter().map(|n| if *n > 0.0 { 1.0 / n } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::testing::{agree, gram, j2, j3, weights};

    fn fair(alpha: f64, gram: &Gram) -> Vec<f64> {
        weights(&mut Fairgrad { alpha }.init(gram.matrix().nrows()).unwrap(), gram)
    }

    #[test]
    fn weights_are_those_printed() {
        agree(&fair(1.0, &j2()), &[0.591461, 0.407071]);
        agree(&fair(2.0, &j2()), &[0.471363, 0.319454]);
        agree(&fair(2.0, &j3()), &[0.996176, 1.124534, 0.474155]);
    }

    #[test]
    fn rows_of_length_0_have_weight_0() {
        let found = fair(1.0, &gram(&ndarray::arr2(&[[0.0, 0.0], [2.0, 0.0]])));
        agree(&found, &[0.0, 0.5]);
        assert_eq!(fair(1.0, &gram(&Array2::zeros((2, 3)))), [0.0, 0.0]);
    }
}
