//! Logarithms of losses: the loss part of DB-MTL (Lin et al., arXiv 2308.12029).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::{Batch, LossBalancer, Weighing};

/// `sum_i log(L_i + 1e-8)`, so `w_i = 1 / (L_i + 1e-8)`: a loss's scale has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLoss {}

impl LossBalancer for LogLoss {
    fn weights(&self, batch: &Batch) -> Result<Weighing> {
        let shifted: Vec<f64> = batch.not_negative()?.iter().map(|loss| loss + 1e-8).collect();
        let total = shifted.iter().map(|loss| loss.ln()).sum();
        Ok(Weighing { weights: shifted.iter().map(|loss| 1.0 / loss).collect(), total })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::testing::{agree, batch};

    #[test]
    fn weights_are_inverse_losses() {
        let weighing = LogLoss {}.weights(&batch(&[2.0, 0.5, 1.0])).unwrap();
        agree(&weighing.weights, &[0.5, 2.0, 1.0]);
        agree(&[weighing.total], &[0.0]);
        let weighing = LogLoss {}.weights(&batch(&[0.0])).unwrap();
        assert_eq!(weighing.weights, [1e8]);
    }
}
