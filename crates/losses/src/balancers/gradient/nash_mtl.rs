//! Nash-MTL (Navon et al., ICML 2022, arXiv 2202.01017).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::{expect, expect_not_negative};
use crate::balancers::gradient::bargain::Bargain;
use crate::balancers::part::{BalancerKind, BalancerPart, Method, PrivateGrad};

/// `d = J^T alpha` with `alpha > 0` and `G alpha = 1 / alpha`: the Nash bargaining solution.
///
/// Without a limit `|d| = sqrt(T)`; one loss's scale has no effect. Solved by damped Newton steps
/// where the release runs a sequence of convex programs. A task gradient of length 0 has weight 0;
/// at a Pareto-stationary point, as for opposite task gradients, where no solution exists, the last
/// weights stay, or `1 / n_i` before there are any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl Part for NashMtl {
    const NAME: &'static str = "nash_mtl";
    const SUMMARY: &'static str = "the Nash bargaining solution among tasks";

    fn example() -> Self {
        NashMtl::default()
    }
}

impl BalancerPart for NashMtl {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Navon et al., ICML 2022, arXiv 2202.01017"
    }

    fn scale(&self) -> &'static str {
        "own"
    }

    fn private_grad(&self) -> PrivateGrad {
        PrivateGrad::Weighted
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram((*self).build(num_tasks)?))
    }
}

impl NashMtl {
    fn build(self, num_tasks: usize) -> Result<Bargain> {
        expect_not_negative("max_norm", self.max_norm)?;
        let every = self.update_weights_every;
        expect(every > 0, "update_weights_every", "at least 1", every as f64)?;
        let max_norm = (self.max_norm > 0.0).then_some(self.max_norm);
        Ok(Bargain::new(num_tasks, 1.0).with_max_norm(max_norm).with_update_every(every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::gradient::GramAggregator;
    use crate::balancers::gradient::gram::Gram;
    use crate::balancers::step_info::StepInfo;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{
        agree, close, direction, gram, info_of, j2, j3, jp, of_a_larger_loss, refusal, rows_p,
        rows2, rows3, weights,
    };

    fn nash(gram: &Gram) -> Vec<f64> {
        weights(&mut NashMtl::default().build(gram.matrix().nrows()).unwrap(), gram)
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
        let mut balancer = NashMtl::default().build(2).unwrap();
        let opposite = gram(&ndarray::arr2(&[[2.0, 0.0], [-2.0, 0.0]]));
        assert_eq!(weights(&mut balancer, &opposite), [0.5, 0.5]);
        let last = weights(&mut balancer, &j2());
        assert_eq!(weights(&mut balancer, &opposite), last);
    }

    #[test]
    fn weights_are_kept_between_refreshes() {
        let config = NashMtl { update_weights_every: 3, ..NashMtl::default() };
        let mut balancer = config.build(2).unwrap();
        let at = |step| StepInfo::full(&[1.0, 1.0], StepSeed { seed: 0, step }).unwrap();
        assert_eq!(balancer.reuse(&at(1)), None, "there are no weights yet");
        let w = balancer.weights(&j2(), &info_of(&j2())).unwrap();
        assert_eq!(balancer.reuse(&at(1)), Some(w.clone()));
        assert_eq!(balancer.reuse(&at(2)), Some(w));
        assert_eq!(balancer.reuse(&at(3)), None);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<NashMtl>(r#"{"update_weights_every": 0}"#);
        assert_eq!(found, "update_weights_every: expected at least 1, found 0");
    }

    #[test]
    fn a_larger_loss_changes_nothing() {
        let [plain, larger] = of_a_larger_loss(|| NashMtl::default().init(3).unwrap());
        close(&larger, &plain, 1e-9);
    }
}
