//! Nash-MTL (Navon et al., ICML 2022, arXiv 2202.01017).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::fairgrad::{Bargain, solve};
use crate::balancers::seam::{expect, expect_not_negative};
use crate::balancers::{Batch, Gram, GramCombiner, State};

/// `d = J^T alpha` with `alpha > 0` and `G alpha = 1 / alpha`: the Nash bargaining solution.
///
/// Without a limit `|d| = sqrt(T)`; one loss's scale has no effect. Solved by damped Newton steps
/// where the release runs a sequence of convex programs. A row of length 0 has weight 0; at a
/// Pareto-stationary point, as for opposite rows, where no solution exists, the last weights
/// stay, or `1 / n_i` before there are any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NashMtl {
    /// Longest `d`; 0 for no limit. With 1, the default, every step has length 1.
    pub max_norm: f64,
    /// Steps between two solutions; in between the last weights are used with one backward pass.
    pub update_weights_every: u64,
}

impl Default for NashMtl {
    fn default() -> Self {
        Self { max_norm: 1.0, update_weights_every: 1 }
    }
}

impl NashMtl {
    pub(crate) fn init(self, num_tasks: usize) -> Result<Nash> {
        expect_not_negative("max_norm", self.max_norm)?;
        let every = self.update_weights_every;
        expect(every > 0, "update_weights_every", "at least 1", every as f64)?;
        Ok(Nash { config: self, bargain: Bargain::new(num_tasks) })
    }
}

/// The last weights.
#[derive(Debug)]
pub(crate) struct Nash {
    config: NashMtl,
    bargain: Bargain,
}

impl GramCombiner for Nash {
    fn weights(&mut self, gram: &Gram, batch: &Batch) -> Result<Vec<f64>> {
        self.bargain.weights(gram, batch, |matrix| solve(matrix, 1.0))
    }

    fn reuse(&self, batch: &Batch) -> Option<Vec<f64>> {
        let refresh = batch.key().step.is_multiple_of(self.config.update_weights_every);
        if refresh { None } else { self.bargain.last(batch) }
    }

    fn max_norm(&self) -> Option<f64> {
        (self.config.max_norm > 0.0).then_some(self.config.max_norm)
    }

    fn state(&self) -> State {
        self.bargain.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.bargain.restore(state)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::Key;
    use crate::balancers::testing::{
        agree, batch_of, direction, gram, j2, j3, jp, rows_p, rows2, rows3, weights,
    };

    fn nash(gram: &Gram) -> Vec<f64> {
        weights(&mut NashMtl::default().init(gram.matrix().nrows()).unwrap(), gram)
    }

    #[test]
    fn weights_are_those_printed() {
        agree(&nash(&j2()), &[0.591461, 0.407071]);
        agree(&direction(&rows2(), &nash(&j2())), &[0.076584, 0.998533, 0.998533]);
        agree(&nash(&j3()), &[1.007469, 1.136059, 0.537340]);
        agree(&direction(&rows3(), &nash(&j3())), &[0.540770, 0.780049, 1.415498, 0.308962]);
        agree(&direction(&rows_p(), &nash(&jp())), &[1.253474, 0.553432, 0.350021]);
        agree(&[j3().norm_of(&nash(&j3()))], &[3f64.sqrt()]);
    }

    #[test]
    fn opposite_rows_keep_the_last_weights() {
        let mut balancer = NashMtl::default().init(2).unwrap();
        let opposite = gram(&ndarray::arr2(&[[2.0, 0.0], [-2.0, 0.0]]));
        assert_eq!(weights(&mut balancer, &opposite), [0.5, 0.5]);
        let last = weights(&mut balancer, &j2());
        assert_eq!(weights(&mut balancer, &opposite), last);
    }

    #[test]
    fn weights_are_kept_between_refreshes() {
        let config = NashMtl { update_weights_every: 3, ..NashMtl::default() };
        let mut balancer = config.init(2).unwrap();
        let at = |step| Batch::full(&[1.0, 1.0], Key { seed: 0, step }).unwrap();
        assert_eq!(balancer.reuse(&at(1)), None, "there are no weights yet");
        let w = balancer.weights(&j2(), &batch_of(&j2())).unwrap();
        assert_eq!(balancer.reuse(&at(1)), Some(w.clone()));
        assert_eq!(balancer.reuse(&at(2)), Some(w));
        assert_eq!(balancer.reuse(&at(3)), None);
    }
}
