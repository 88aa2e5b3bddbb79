//! Geometric loss strategy (Chennupati et al., MultiNet++, CVPR workshops 2019, arXiv 1904.08492).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::{Batch, LossBalancer, Weighing};

/// `GLS = (prod L_i)^(1/T)`, so `w_i = GLS / (T L_i)`; losses below 1e-8 count as 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gls {}

impl LossBalancer for Gls {
    fn weights(&self, batch: &Batch) -> Result<Weighing> {
        let losses = batch.positive()?;
        let count = losses.len() as f64;
        let total = (losses.iter().map(|loss| loss.ln()).sum::<f64>() / count).exp();
        Ok(Weighing { weights: losses.iter().map(|loss| total / (count * loss)).collect(), total })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::testing::{agree, batch};

    #[test]
    fn weights_are_those_printed() {
        let weighing = Gls {}.weights(&batch(&[2.0, 0.5, 1.0])).unwrap();
        agree(&weighing.weights, &[0.166667, 0.666667, 0.333333]);
        agree(&[weighing.total], &[1.0]);
    }

    #[test]
    fn a_loss_of_0_has_a_finite_weight() {
        let weighing = Gls {}.weights(&batch(&[0.0, 0.5])).unwrap();
        assert!(weighing.weights.iter().all(|w| w.is_finite()));
        assert!(Gls {}.weights(&batch(&[-1.0, 0.5])).is_err());
    }
}
