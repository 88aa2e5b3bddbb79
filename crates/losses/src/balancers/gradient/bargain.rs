//! Weights of a bargaining solution, which Nash-MTL and FairGrad share.

use ndarray::{Array1, Array2, Axis};

use crate::Result;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::solve::power_balance;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// The last weight of every task; 0 before there is one.
#[derive(Debug)]
pub(crate) struct Bargain {
    pub(crate) state: State,
}

impl Bargain {
    pub(crate) fn new(num_tasks: usize) -> Self {
        Self { state: State::new([("last", vec![0.0; num_tasks])]) }
    }

    /// The solution, or the last weights where there is none.
    pub(crate) fn weights(
        &mut self,
        gram: &Gram,
        info: &StepInfo,
        solve: impl Fn(&Array2<f64>) -> Option<Vec<f64>>,
    ) -> Result<Vec<f64>> {
        info.of(self.state["last"].len())?;
        match solve(gram.of(info)?) {
            Some(weights) => {
                for (task, weight) in info.tasks().iter().zip(&weights).filter(|(_, w)| **w > 0.0) {
                    self.state["last"][*task] = *weight;
                }
                Ok(weights)
            }
            None => Ok(self.last(info).unwrap_or_else(|| inverse(&gram.norms()))),
        }
    }

    /// The last weights, if every task of the batch has had one.
    pub(crate) fn last(&self, info: &StepInfo) -> Option<Vec<f64>> {
        let last: Option<Vec<f64>> =
            info.tasks().iter().map(|task| self.state["last"].get(*task).copied()).collect();
        last.filter(|last| last.iter().all(|w| *w > 0.0))
    }
}

/// [`power_balance`] of the task gradients longer than 0; the others have weight 0.
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
