//! Weights of a bargaining solution, which Nash-MTL and FairGrad share.

use ndarray::{Array1, Array2, Axis};

use crate::Result;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::solve::power_balance;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// `w > 0` with `G w = w^(-1/alpha)`.
#[derive(Debug)]
pub(crate) struct Bargain {
    alpha: f64,
    max_norm: Option<f64>,
    update_weights_every: u64,
    /// The last weight of every task; 0 before there is one.
    state: State,
}

impl Bargain {
    /// A solution in every step, without a limit of length.
    pub(crate) fn new(num_tasks: usize, alpha: f64) -> Self {
        let state = State::new([("last", vec![0.0; num_tasks])]);
        Self { alpha, max_norm: None, update_weights_every: 1, state }
    }

    /// The same with directions of length `max_norm` at most.
    pub(crate) fn with_max_norm(self, max_norm: Option<f64>) -> Self {
        Self { max_norm, ..self }
    }

    /// The same with a solution every so many steps, at least 1.
    pub(crate) fn with_update_every(self, steps: u64) -> Self {
        Self { update_weights_every: steps, ..self }
    }

    /// The last weights, if every task of the batch has had one.
    fn last(&self, info: &StepInfo) -> Option<Vec<f64>> {
        let last: Option<Vec<f64>> =
            info.tasks().iter().map(|task| self.state["last"].get(*task).copied()).collect();
        last.filter(|last| last.iter().all(|w| *w > 0.0))
    }
}

impl GramAggregator for Bargain {
    /// The solution, or the last weights where there is none.
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.state["last"].len())?;
        match solve(gram.of(info)?, self.alpha) {
            Some(weights) => {
                for (task, weight) in info.tasks().iter().zip(&weights).filter(|(_, w)| **w > 0.0) {
                    self.state["last"][*task] = *weight;
                }
                Ok(weights)
            }
            None => Ok(self.last(info).unwrap_or_else(|| inverse(&gram.norms()))),
        }
    }

    fn reuse(&self, info: &StepInfo) -> Option<Vec<f64>> {
        let refresh = info.seed().step.is_multiple_of(self.update_weights_every);
        if refresh { None } else { self.last(info) }
    }

    fn max_norm(&self) -> Option<f64> {
        self.max_norm
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.state)
    }
}

/// [`power_balance`] of the task gradients longer than 0; the others have weight 0.
fn solve(gram: &Array2<f64>, alpha: f64) -> Option<Vec<f64>> {
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
