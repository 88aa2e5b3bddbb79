//! IMTL-L: scaled losses become equal (Liu et al., ICLR 2021, Towards Impartial Multi-task
//! Learning).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::Batch;
use crate::balancers::adam::Learned;
use crate::balancers::learning::{Learning, Objective, Term};
use crate::balancers::seam::expect_positive;

/// `sum_i ( exp(s_i) L_i - s_i )` with learned `s_i`, 0 at the start.
///
/// The optimum is `s_i = -log L_i`, where every scaled loss is 1; losses below 1e-8 count as
/// 1e-8. The paper allows any base above 1; ours is e. The `s_i` have an Adam of their own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImtlL {
    /// Learning rate of the `s_i`; ours, as releases take the model's.
    pub lr: f64,
}

impl Default for ImtlL {
    fn default() -> Self {
        Self { lr: 1e-3 }
    }
}

impl ImtlL {
    pub(crate) fn init(self, num_tasks: usize) -> Result<Learning<Impartial>> {
        expect_positive("lr", self.lr)?;
        Ok(Learning::new(Impartial, Learned::new(num_tasks, 0.0, self.lr, 0.0)))
    }
}

/// The objective, whose learned numbers are logarithms of scales.
#[derive(Debug)]
pub(crate) struct Impartial;

impl Objective for Impartial {
    fn losses(&self, batch: &Batch) -> Result<Vec<f64>> {
        batch.positive()
    }

    fn term(&self, s: f64, loss: f64) -> Term {
        let weight = s.exp();
        let weighed = weight * loss;
        Term { value: weighed - s, by_loss: weight, by_number: weighed - 1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::testing::{agree, batch};
    use crate::balancers::{LossBalancer, Weighing};

    #[test]
    fn the_first_step_is_that_printed() {
        let mut balancer = ImtlL::default().init(3).unwrap();
        let batch = batch(&[2.0, 0.5, 1.0]);
        let weighing = balancer.weights(&batch).unwrap();
        assert_eq!(weighing, Weighing { weights: vec![1.0; 3], total: 3.5 });
        balancer.after_step(&batch, None).unwrap();
        let slopes: Vec<f64> = balancer.state()["first_moment"].iter().map(|m| m * 10.0).collect();
        agree(&slopes, &[1.0, -0.5, 0.0]);
    }

    #[test]
    fn scaled_losses_become_1() {
        let mut balancer = ImtlL { lr: 1e-2 }.init(3).unwrap();
        let batch = batch(&[2.0, 0.5, 1.0]);
        for _ in 0..3000 {
            balancer.after_step(&batch, None).unwrap();
        }
        let weights = balancer.weights(&batch).unwrap().weights;
        agree(&weights, &[0.5, 2.0, 1.0]);
    }
}
