//! Random loss weighting (Lin et al., TMLR 2022, arXiv 2111.10603).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::seam::softmax;
use crate::balancers::{Batch, LossBalancer, Weighing};

/// `w = softmax(z)`, `z` standard normal and fresh in each step; the weights sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlw {}

impl LossBalancer for Rlw {
    fn weights(&self, batch: &Batch) -> Result<Weighing> {
        // All tasks draw, so that one without labels does not move the draws of the others.
        let all = batch.key().normals(1, batch.num_tasks());
        let z: Vec<f64> = batch.tasks().iter().map(|task| all[*task]).collect();
        Ok(batch.weighing(softmax(&z)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::Key;
    use crate::balancers::testing::agree;

    #[test]
    fn weights_are_a_softmax() {
        agree(&softmax(&[0.3, -1.2, 0.5]), &[0.409076, 0.091277, 0.499647]);
    }

    #[test]
    fn every_step_has_its_own_weights() {
        let at = |step| {
            let batch = Batch::full(&[1.0; 3], Key { seed: 5, step }).unwrap();
            Rlw {}.weights(&batch).unwrap().weights
        };
        assert_eq!(at(7), at(7));
        assert_ne!(at(7), at(8));
        agree(&[at(9).iter().sum()], &[1.0]);
    }
}
